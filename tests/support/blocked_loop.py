"""``rundlet`` with a fault: ``python -m tests.support.blocked_loop serve ...``.

A request with the header ``X-Block`` blocks the event loop of its worker for good, while the other
threads of the worker run on, as a resource does that waits for a network or for a lock.
"""

from __future__ import annotations

import dataclasses
import os
import threading
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from rundlet_server.cli.start import main
from rundlet_server.functions.app import get_service
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
        if "HTTP_X_BLOCK" in environ:
            os.write(2, f"{BLOCKED}{threading.current_thread().name}\n".encode())
            threading.Event().wait()
        return service.app(environ, start_response)

    return dataclasses.replace(service, app=app)


if __name__ == "__main__":
    run.get_service = make_service
    main()
