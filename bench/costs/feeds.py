"""Many clients that follow the change feed, each with a connection, in one thread."""

from __future__ import annotations

import contextlib
import selectors
import socket
import time
from collections.abc import Callable
from typing import Final, Self

from bench.errors import LoadFailed

_ANSWER_S_MAX: Final = 10.0
_RECEIVE_BYTES: Final = 1 << 16
_REQUEST: Final = (
    "GET /v1/changes?prefix={} HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: text/event-stream\r\n\r\n"
)
_BEGUN: Final = b"\nid: "
_REFUSED: Final = b"HTTP/1.1 503"


class Watchers:
    """Open feeds of the keys with one prefix; a context manager that closes them."""

    def __init__(self, port: int, prefix: str) -> None:
        self._port = port
        self._request = _REQUEST.format(prefix).encode()
        self._stack = contextlib.ExitStack()
        self._selector = self._stack.enter_context(selectors.DefaultSelector())

    def open(self, count: int) -> int:
        """Open feeds until there are ``count``, or the server refuses one; return their number."""
        for opened in range(count):
            if not self._open_one():
                return opened
        return count

    def ms_until_all(self, event: bytes, send: Callable[[], object]) -> float:
        """Send something; return the milliseconds from then on until each feed got the event.

        Raises:
            LoadFailed: a feed did not get it in time, or ended.
        """
        waiting = {key.fd: b"" for key in self._selector.get_map().values()}
        began_s = time.perf_counter()
        send()
        while waiting:
            ready = self._selector.select(_ANSWER_S_MAX)
            if not ready:
                raise LoadFailed(f"{len(waiting)} feeds did not get the event")
            for key, _ in ready:
                received = self._receive(key)
                if key.fd in waiting:
                    waiting[key.fd] += received
                    if event in waiting[key.fd]:
                        del waiting[key.fd]
        return (time.perf_counter() - began_s) * 1_000

    def _open_one(self) -> bool:
        connection = socket.create_connection(("127.0.0.1", self._port), _ANSWER_S_MAX)
        self._stack.enter_context(connection)
        connection.sendall(self._request)
        received = b""
        while _BEGUN not in received:
            piece = connection.recv(_RECEIVE_BYTES)
            received += piece
            if received.startswith(_REFUSED):
                return False
            if not piece:
                raise LoadFailed(f"a feed did not begin: {received[:200]!r}")
        self._selector.register(connection, selectors.EVENT_READ, connection)
        return True

    @staticmethod
    def _receive(key: selectors.SelectorKey) -> bytes:
        connection: socket.socket = key.data
        received = connection.recv(_RECEIVE_BYTES)
        if not received:
            raise LoadFailed("a feed ended")
        return received

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()
