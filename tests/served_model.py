"""The functions over a store, behind a real WSGI server in a thread of the test's process."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from waitress import create_server, wasyncore

from functions.app import create_app
from functions.settings import ServerSettings
from storage.interface import Store


@contextmanager
def served(store: Store, settings: ServerSettings | None = None) -> Iterator[str]:
    """The address at which a store is served until the block ends."""
    sockets: dict[int, wasyncore.dispatcher] = {}
    server = create_server(
        create_app(store, settings), map=sockets, host="127.0.0.1", port=0, threads=4
    )
    stop = threading.Event()

    def serve() -> None:
        while not stop.is_set():
            wasyncore.loop(timeout=1, map=sockets, count=1)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.effective_port}"
    finally:
        stop.set()
        server.pull_trigger()
        thread.join()
        server.task_dispatcher.shutdown()
        for channel in list(server.active_channels.values()):
            channel.handle_close()  # also of the files that hold large answers
        wasyncore.close_all(sockets)
