"""The connections of one process; a forked child makes its own.

Two processes that share a connection get each other's answers, without any error. So a child gives
up what it inherited before any of its code runs. It closes only its copies of the descriptors,
which the parent does not notice. It cannot close the parent's ``httpx.Client``: another thread may
have held a lock of it during the fork, and in the child that lock is never released.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
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
        """``make_http`` is called here, and again in a forked child that sends a request."""
        self._make_http = make_http
        self._http: httpx.Client | None = make_http()
        self._is_closed = False
        self._lock = threading.Lock()
        # Of connections that have answered. A child keeps one that is in its first request, unused,
        # until it ends.
        self._streams: WeakSet[_Stream] = WeakSet()
        _ALL.add(self)

    def request(
        self, method: str, url: httpx.URL, headers: Mapping[str, str], body: bytes | None
    ) -> httpx.Response:
        """Send a request, and return the answer, read to its end.

        Raises:
            httpx.RequestError: there is no whole answer.
            RuntimeError: ``close`` was called.
        """
        http = self._http or self._connected_again()
        response = http.request(method, url, headers=headers, content=body)
        self._streams.add(response.extensions["network_stream"])
        return response

    def open_stream(
        self, url: httpx.URL, headers: Mapping[str, str], timeout: httpx.Timeout
    ) -> httpx.Response:
        """Send a GET, and return the answer as soon as its headers are there; close it.

        Raises:
            httpx.RequestError: there is no answer.
            RuntimeError: ``close`` was called.
        """
        http = self._http or self._connected_again()
        request = http.build_request("GET", url, headers=headers, timeout=timeout)
        response = http.send(request, stream=True)
        self._streams.add(response.extensions["network_stream"])
        return response

    @contextlib.contextmanager
    def stream(
        self, method: str, url: httpx.URL, headers: Mapping[str, str]
    ) -> Iterator[httpx.Response]:
        """Send a request whose answer is read piece by piece; raises as ``request``."""
        http = self._http or self._connected_again()
        with http.stream(method, url, headers=headers) as response:
            self._streams.add(response.extensions["network_stream"])
            yield response

    def close(self) -> None:
        """Close all connections; closing twice is harmless."""
        with self._lock:
            self._is_closed = True
        if self._http is not None:
            self._http.close()

    def after_fork(self) -> None:
        """Give up the connections of the parent; called in a forked child, which has one thread."""
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
"""All of this process. A fork handler cannot be unregistered, so there is one for all of them."""


def _after_fork() -> None:
    for connections in list(_ALL):
        connections.after_fork()


if sys.platform != "win32":
    os.register_at_fork(after_in_child=_after_fork)
