"""Close stalled connections in a Granian worker.

Granian 2.8 has a time limit for headers and none for what follows them: as long as the client
keeps the connection open, a thread waits for a body that does not arrive, and memory holds an
answer that the client does not read. Python code cannot abort either. But the socket is a
descriptor of this process, the kernel knows when data last moved on it, and shutting the
connection down ends both the wait and the answer.

Only Linux reports when data last moved. On other systems no connection is closed here.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
import struct
import sys
import termios
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from rundlet_server.functions.feeds.connection import CONNECTION

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

    from _typeshed import OptExcInfo

_CHECK_EVERY_S: Final = 1.0
_ENDING_S: Final = 5.0
_DESCRIPTORS: Final = Path("/proc/self/fd")

# From struct tcp_info of linux/tcp.h, in milliseconds since: data was sent (offset 44), an
# acknowledgement was sent (always 0), data was received.
_TIMES: Final = struct.Struct("=44xIII")
_INT: Final = struct.Struct("=i")


class Input(Protocol):
    """The object that Granian offers for reading a body."""

    def read(self, size: int = ..., /) -> bytes:
        """Return ``size`` bytes, or all; block until they arrive or the client disconnects."""


class Traffic(NamedTuple):
    """What the kernel knows of the data on one connection.

    Attributes:
        idle_s: seconds since a byte last moved, in either direction.
        unsent_bytes: bytes that the client has yet to accept.
    """

    idle_s: float
    unsent_bytes: int


class StalledConnections:
    """A WSGI application around another, with a thread that closes stalled connections.

    A connection is stalled if no data has moved on it for ``timeout_s``, and either it still has
    data to send, or some thread has waited for a body for as long as that. Granian does not say
    which connection a body comes from. So while a body is overdue, a connection whose request
    has been in flight for longer than the time limit is closed, too. Idle connections are not
    affected: a shorter limit has closed them before.
    """

    def __init__(self, app: WSGIApplication, timeout_s: float, is_ending: threading.Event) -> None:
        """Wrap ``app``; once ``is_ending`` is set, the time limit is a few seconds at most."""
        self._app = app
        self._timeout_s = timeout_s
        self._is_ending = is_ending
        self._connection = _Connection(is_ending)
        self._waiting: dict[int, float] = {}

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Pass a request on to the wrapped application."""
        if environ.get("CONTENT_LENGTH", "0") != "0" or "HTTP_TRANSFER_ENCODING" in environ:
            environ["wsgi.input"] = _WatchedInput(environ["wsgi.input"], self._waiting)
        environ[CONNECTION] = self._connection
        if self._is_ending.is_set():
            start_response = _closing(start_response)
        return self._app(environ, start_response)

    def start(self) -> None:
        """Check all connections from now on, if the system reports when data moved."""
        if sys.platform == "linux":
            threading.Thread(target=self._check_often, name="rundlet-stalled", daemon=True).start()

    def _check_often(self) -> None:
        while True:
            time.sleep(_CHECK_EVERY_S)
            with contextlib.suppress(OSError):  # no free descriptor for the check: try again later
                self._close_stalled()

    def _close_stalled(self) -> None:
        timeout_s = min(self._timeout_s, _ENDING_S) if self._is_ending.is_set() else self._timeout_s
        began_s = time.monotonic() - timeout_s
        is_body_overdue = any(waits_s < began_s for waits_s in list(self._waiting.values()))
        for connection in _connections():
            traffic = _traffic(connection)
            is_waiting = is_body_overdue or traffic.unsent_bytes
            if is_waiting and traffic.idle_s > timeout_s:
                with contextlib.suppress(OSError):  # the connection has ended by itself
                    connection.shutdown(socket.SHUT_RDWR)


def _closing(start_response: StartResponse) -> StartResponse:
    """Have an answer ask the client to use no more a connection that ends soon."""

    def start(
        status: str, headers: list[tuple[str, str]], exc_info: OptExcInfo | None = None, /
    ) -> Callable[[bytes], object]:
        return start_response(status, [*headers, ("Connection", "close")], exc_info)

    return start


class _Connection:
    """What Python code in a worker knows of any connection: see ``functions.feeds.connection``.

    Granian says neither which connection a request came over nor that it was closed. But it closes
    an answer in parts when it cannot send the next part, even an empty one, and asks for a part
    only when the last one is on its way.
    """

    def __init__(self, is_ending: threading.Event) -> None:
        self._is_ending = is_ending

    def is_over(self) -> bool:
        return self._is_ending.is_set()

    def unsent_bytes(self) -> int:
        return 0


class _WatchedInput:
    """A request body that records while a thread waits for it."""

    def __init__(self, body: Input, waiting: dict[int, float]) -> None:
        self._body = body
        self._waiting = waiting

    def read(self, size: int = -1) -> bytes:
        """See ``Input``."""
        self._waiting[id(self)] = time.monotonic()
        try:
            return self._body.read() if size < 0 else self._body.read(size)
        finally:
            del self._waiting[id(self)]


def _connections() -> Iterator[socket.socket]:
    """Yield the TCP connections of this process, each on a descriptor of its own.

    The process may reuse the number of a descriptor for another connection at any moment. A
    duplicate refers to the same connection until it is closed.
    """
    for name in os.listdir(_DESCRIPTORS):
        try:
            descriptor = os.dup(int(name))
        except OSError:  # closed in the meantime
            continue
        try:
            connection = socket.socket(fileno=descriptor)
        except OSError:  # not a socket
            os.close(descriptor)
            continue
        with connection:
            if connection.family in (socket.AF_INET, socket.AF_INET6):
                yield connection


def _traffic(connection: socket.socket) -> Traffic:
    """Ask the kernel; a socket that listens, or is just being closed, counts as not idle."""
    try:
        info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TIMES.size)
        unsent = fcntl.ioctl(connection, termios.TIOCOUTQ, bytes(_INT.size))
        connection.getpeername()
    except OSError:
        return Traffic(0, 0)
    sent_ms, _, received_ms = _TIMES.unpack(info)
    (unsent_bytes,) = _INT.unpack(unsent)
    return Traffic(min(sent_ms, received_ms) / 1_000, unsent_bytes)
