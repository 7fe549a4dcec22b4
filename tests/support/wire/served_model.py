"""Serve a store or an app by a real WSGI server in a thread of the test's process."""

from __future__ import annotations

import functools
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from waitress import create_server, wasyncore

from rundlet_server.functions.app import create_app
from rundlet_server.functions.settings import ServerSettings
from rundlet_server.server.waitress.channel import Channel, Quick
from rundlet_server.storage.interface import Store
from tests.support.wire.refusing import refuse

if TYPE_CHECKING:
    from wsgiref.types import WSGIApplication


@contextmanager
def served(store: Store, settings: ServerSettings | None = None) -> Iterator[str]:
    """Serve a store until the block ends; return the address."""
    with served_app(create_app(store, settings)) as port:
        yield f"http://127.0.0.1:{port}"


@contextmanager
def served_app(app: WSGIApplication, quick: Quick | None = None) -> Iterator[int]:
    """Serve an application until the block ends; return the port."""
    sockets: dict[int, wasyncore.dispatcher] = {}
    server = create_server(app, map=sockets, host="127.0.0.1", port=0, threads=4, ident=None)
    # waitress itself would close the connection after each 204
    server.channel_class = functools.partial(Channel, quick=quick, refuse=refuse)
    stop = threading.Event()

    def serve() -> None:
        while not stop.is_set():
            # Not select(), which cannot take descriptors above 1,023: others may have that many.
            wasyncore.loop(timeout=1, use_poll=True, map=sockets, count=1)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield int(server.effective_port)
    finally:
        stop.set()
        server.pull_trigger()
        thread.join()
        server.task_dispatcher.shutdown()
        for channel in list(server.active_channels.values()):
            channel.handle_close()  # also of the files that hold large answers
        wasyncore.close_all(sockets)
