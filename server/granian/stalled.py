"""Ends connections on which nothing moves any more, in a Granian worker.

Granian 2.8 has a time limit for headers, and none for anything after them: a thread waits for a
body that does not come, and memory holds an answer that nobody reads, for as long as the client
likes. Neither can be given up from Python. But the socket is a descriptor of this process, the
kernel knows when something last moved on it, and a connection that is shut down ends both.

Only Linux tells so much; elsewhere nothing is ended.
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

if TYPE_CHECKING:
    from collections.abc import Iterable
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

_LOOK_S: Final = 1.0
_ENDING_S: Final = 5.0
_DESCRIPTORS: Final = Path("/proc/self/fd")

# struct tcp_info of linux/tcp.h: milliseconds since data was sent (offset 44), an acknowledgement
# was sent (always 0), and data was received.
_TIMES: Final = struct.Struct("=44xIII")
_INT: Final = struct.Struct("=i")


class Input(Protocol):
    """What Granian gives to read a body from."""

    def read(self, size: int = ..., /) -> bytes:
        """So many bytes, or all; waits until they are there, or the client is gone."""


class Stillness(NamedTuple):
    """How still a connection is.

    Attributes:
        silent_s: for so long no byte has moved, either way.
        unsent_bytes: the client has yet to take these.
    """

    silent_s: float
    unsent_bytes: int


class StalledConnections:
    """A WSGI application around another, with a thread that ends stalled connections.

    A connection is stalled when nothing has moved on it for ``timeout_s``, and either it has
    something to send, or a body has been waited for as long as that. Which connection a body
    comes from Granian does not tell. So in the second case those go, too, whose requests are
    still being worked on and have been for longer than the time limit; idle ones are gone before.
    """

    def __init__(self, app: WSGIApplication, timeout_s: float, is_ending: threading.Event) -> None:
        """Once ``is_ending`` is set, nobody is waited for longer than a few seconds."""
        self._app = app
        self._timeout_s = timeout_s
        self._is_ending = is_ending
        self._waiting: dict[int, float] = {}

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Pass a request on."""
        if environ.get("CONTENT_LENGTH", "0") != "0" or "HTTP_TRANSFER_ENCODING" in environ:
            environ["wsgi.input"] = _WatchedInput(environ["wsgi.input"], self._waiting)
        return self._app(environ, start_response)

    def start(self) -> None:
        """Look over all connections from now on, where the system tells enough."""
        if sys.platform == "linux":
            threading.Thread(target=self._look_on, name="rundlet-stalled", daemon=True).start()

    def _look_on(self) -> None:
        while True:
            time.sleep(_LOOK_S)
            with contextlib.suppress(OSError):  # no descriptors left to look with: once more later
                self._look_over()

    def _look_over(self) -> None:
        timeout_s = min(self._timeout_s, _ENDING_S) if self._is_ending.is_set() else self._timeout_s
        began_s = time.monotonic() - timeout_s
        is_body_overdue = any(waits_s < began_s for waits_s in list(self._waiting.values()))
        for connection in _connections():
            stillness = _stillness(connection)
            is_wanted = is_body_overdue or stillness.unsent_bytes
            if is_wanted and stillness.silent_s > timeout_s:
                with contextlib.suppress(OSError):  # it has ended by itself
                    connection.shutdown(socket.SHUT_RDWR)


class _WatchedInput:
    """A body that is known to be waited for while it is."""

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
    """The TCP connections of this process, each by a descriptor of its own.

    The number of a descriptor may mean another connection at the next moment. A duplicate means
    the same one until it is closed.
    """
    for name in os.listdir(_DESCRIPTORS):
        try:
            descriptor = os.dup(int(name))
        except OSError:  # closed meanwhile
            continue
        try:
            connection = socket.socket(fileno=descriptor)
        except OSError:  # a file
            os.close(descriptor)
            continue
        with connection:
            if connection.family in (socket.AF_INET, socket.AF_INET6):
                yield connection


def _stillness(connection: socket.socket) -> Stillness:
    """How still it is; a socket that listens, or is just being closed, is not still."""
    try:
        info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TIMES.size)
        unsent = fcntl.ioctl(connection, termios.TIOCOUTQ, bytes(_INT.size))
        connection.getpeername()
    except OSError:
        return Stillness(0, 0)
    sent_ms, _, received_ms = _TIMES.unpack(info)
    (unsent_bytes,) = _INT.unpack(unsent)
    return Stillness(min(sent_ms, received_ms) / 1_000, unsent_bytes)
