"""The connections of one process; a forked child makes its own.

If two processes share a connection, they get each other's answers without any error. So a child
drops the inherited connections before any of its code runs. It closes only its copies of the
descriptors, which does not affect the parent. It cannot close the parent's ``httpx.Client``:
another thread may have held one of its locks during the fork, and in the child that lock is never
released.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Callable
from typing import Final, Protocol
from weakref import WeakSet

import httpx


class _Stream(Protocol):
    """The bytes of one connection."""

    def close(self) -> None:
        """Close the descriptor of this process."""


class Connections:
    """The connections of this process to one server, shared by its threads."""

    def __init__(self, make_http: Callable[[], httpx.Client]) -> None:
        """Call ``make_http`` now, and again in a forked child that sends a request."""
        self._make_http = make_http
        self._http: httpx.Client | None = make_http()
        self._is_closed = False
        self._lock = threading.Lock()
        # Of connections that have answered. If a connection is in its first request during a fork,
        # the child keeps it open, unused, until the child ends.
        self._streams: WeakSet[_Stream] = WeakSet()
        _ALL.add(self)

    def send(self, request: httpx.Request, *, is_stream: bool = False) -> httpx.Response:
        """Send a request, and return the answer; with ``is_stream``, its body is unread.

        Raises:
            httpx.RequestError: there is no complete answer.
            RuntimeError: ``close`` was called.
        """
        http = self._http or self._connected_again()
        response = http.send(request, stream=is_stream)
        self._streams.add(response.extensions["network_stream"])
        return response

    def close(self) -> None:
        """Close all connections; closing twice is harmless."""
        with self._lock:
            self._is_closed = True
        if self._http is not None:
            self._http.close()

    def after_fork(self) -> None:
        """Drop the connections of the parent; called in a forked child, which has one thread."""
        self._lock = threading.Lock()
        for stream in list(self._streams):
            with contextlib.suppress(OSError):  # another thread had just closed it
                stream.close()
        self._streams = WeakSet()
        self._http = None

    def _connected_again(self) -> httpx.Client:
        with self._lock:
            if self._is_closed:
                raise RuntimeError("this client is closed; make another one")
            if self._http is None:
                self._http = self._make_http()
            return self._http


_ALL: Final[WeakSet[Connections]] = WeakSet()
"""All of this process. A fork handler cannot be unregistered, so one handler serves all."""


def _after_fork() -> None:
    for connections in list(_ALL):
        connections.after_fork()


if sys.platform != "win32":
    os.register_at_fork(after_in_child=_after_fork)
