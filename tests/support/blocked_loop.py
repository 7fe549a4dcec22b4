"""``rundlet`` with a fault: ``python -m tests.support.blocked_loop serve ...``.

A GET with the header ``X-Block`` blocks the event loop of its process for good, while the other
threads of the process run on, as a resource does that waits for a network or for a lock.
"""

from __future__ import annotations

import dataclasses
import os
import threading
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Final

from rundlet_server.cli.start import main
from rundlet_server.functions.app import create_configured_app, get_service
from rundlet_server.functions.monitoring.measures import MeasuredApp
from rundlet_server.functions.serving import Service
from rundlet_server.functions.waits import Waits
from rundlet_server.server import run

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment

BLOCKED: Final = "the loop is blocked in "


def make_service(waits: Waits) -> Service:
    """Return the service of a worker, with the fault."""
    service = get_service(waits)

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        block_if_asked(environ)
        return service.app(environ, start_response)

    return dataclasses.replace(service, app=app)


def make_app(*arguments: object) -> MeasuredApp:
    """Return the application for waitress, with the fault."""
    app = create_configured_app(*arguments)  # type: ignore[arg-type] # passed on
    answer = app.answer_quickly

    def answer_quickly(
        environ: dict[str, object],
    ) -> tuple[str, list[tuple[str, str]], bytes] | None:
        block_if_asked(environ)
        return answer(environ)

    app.answer_quickly = answer_quickly  # type: ignore[method-assign] # the fault
    return app


def block_if_asked(environ: Mapping[str, object]) -> None:
    if "HTTP_X_BLOCK" in environ:
        os.write(2, f"{BLOCKED}{threading.current_thread().name}\n".encode())
        threading.Event().wait()


if __name__ == "__main__":
    run.get_service = make_service
    run.create_configured_app = make_app
    main()
