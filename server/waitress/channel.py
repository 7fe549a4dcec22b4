"""A connection of waitress: how it answers, and when the server closes it.

waitress itself closes idle connections only. This module also closes a connection whose client
sends headers or a body too slowly or does not read the answer, and, if there are too many
connections, those that have been idle longest. It also decides which bytes belong to which request,
so that nothing of one request reaches the next.
"""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Callable, Collection, Iterable
from functools import lru_cache
from operator import itemgetter
from typing import Final

from waitress.adjustments import Adjustments
from waitress.channel import HTTPChannel
from waitress.server import BaseWSGIServer
from waitress.task import WSGITask
from waitress.wasyncore import dispatcher

from rundlet_server.functions.feeds.connection import CONNECTION
from rundlet_server.functions.messages.uploads import DISCARD_BYTES_MAX
from rundlet_server.functions.messages.validators import http_date
from rundlet_server.functions.monitoring.measures import Refuse
from rundlet_server.functions.monitoring.quick import QUICK_METHODS
from rundlet_server.functions.settings import ConnectionLimits
from rundlet_server.server.waitress.errors import ProblemTask
from rundlet_server.server.waitress.parser import BodyLimit, StrictParser

_TURN_BYTES: Final = 128 * 1024
"""Bytes that one connection may send before the others have their turn. waitress itself sends as
long as the client reads, and one thread sends for all connections: while eight fast clients read
values of 8 to 32 MiB, half of all small reads took 0.17 s."""
_AT_ONCE_MAX: Final = 8
"""Pipelined requests that are answered in one turn; a thread answers the rest."""
_STALLED_S: Final = 5.0
_SETTLED_S: Final = 0.2
_LINGER_S: Final = 10.0
_LINGER_IDLE_S: Final = 2.0
_LINGER_STEP_BYTES: Final = 64 * 1024
_PRESSED_IDLE_S: Final = 1.0
_PRESSED_SHARE: Final = 20  # one connection in so many is closed at a time


Quick = Callable[[dict[str, object]], tuple[str, list[tuple[str, str]], bytes] | None]
"""Returns the status, headers and body if that needs no wait, else ``None``."""


class Task(WSGITask):  # type: ignore[misc] # waitress has no types
    """A request whose connection stays open if the answer has no body, or is sent in chunks.

    waitress 3.0 closes the connection after each answer without a length, so every export, PUT and
    DELETE would need a new one. But the client knows where such an answer ends: a chunked body ends
    with its last chunk, and a 204 or 304 ends with its headers (RFC 9112, section 6.3). An answer
    to HEAD without a length ends with its headers, too: waitress would announce and send chunks,
    and the client would take them for the beginning of the next answer.
    """

    def get_environment(self) -> dict[str, object]:
        """Return the environment of the request, with the connection in ``CONNECTION``."""
        environ: dict[str, object] = super().get_environment()
        environ[CONNECTION] = self.channel
        return environ

    @property
    def has_body(self) -> bool:
        """Whether the answer has a body, or to HEAD the length of one."""
        is_bare = self.request.command == "HEAD" and self.content_length is None
        return bool(super().has_body) and not is_bare

    def set_close_on_finish(self) -> None:
        """Close the connection after the answer if the client needs that to find its end."""
        asked_to_close = self.request.headers.get("CONNECTION", "").lower() == "close"
        has_end = self.chunked_response or not self.has_body
        if asked_to_close or self.version != "1.1" or not has_end:
            super().set_close_on_finish()

    def build_response_header(self) -> bytes:
        """Return the headers; if the server shuts down, they have ``Connection: close``."""
        if self.channel.is_ending() and len(self.channel.requests) == 1:
            super().set_close_on_finish()
        header: bytes = super().build_response_header()
        return header

    def whole_answer(self, status: str, headers: list[tuple[str, str]], body: bytes) -> bytes:
        """Return an answer that is sent in one piece."""
        self.status, self.response_headers, self.content_length = status, headers, len(body)
        is_kept = self.version == "1.1" and self.request.headers.get("CONNECTION") != "close"
        if is_kept and not self.channel.is_ending() and not self.channel.server.adj.ident:
            header = self._kept_open_header()
        else:
            header = self.build_response_header()
        return header + body if self.has_body else header

    def _kept_open_header(self) -> bytes:
        """Return the same bytes as ``build_response_header`` for an open connection, but faster.

        waitress spells every name of a header anew, which took a fifth of the time of a GET.
        """
        headers = [(_spelled(name), text) for name, text in self.response_headers]
        headers.append(("Date", http_date(int(self.start_time))))
        headers.sort(key=_NAME)
        lines = [f"{name}: {text}\r\n" for name, text in headers]
        return f"HTTP/1.1 {self.status}\r\n{''.join(lines)}\r\n".encode("latin-1")

    def finish(self) -> None:
        """End the answer, and close the connection if a pipelined request would block a thread.

        Before waitress handles a pipelined request, it waits until the client has read most of
        the answers before it. That may take any time, and the waiting thread cannot answer other
        clients. So the connection is closed after this answer instead: a client that pipelines
        requests must be ready to send them again (RFC 9112, section 9.3.2).
        """
        super().finish()
        channel = self.channel
        is_pipelined = len(channel.requests) > 1
        if is_pipelined and channel.total_outbufs_len > channel.adj.outbuf_high_watermark:
            channel.lingers = True
            self.close_on_finish = True


_NAME: Final = itemgetter(0)


@lru_cache(maxsize=256)
def _spelled(name: str) -> str:
    """Return the name of a header as waitress spells it."""
    return "-".join(word.capitalize() for word in name.split("-"))


class Channel(HTTPChannel):  # type: ignore[misc] # as above
    """A connection with time limits.

    Attributes:
        lingers: the client may still be sending when it gets its last answer. If the server closed
            the socket then, the system would reset the connection, and the client might lose the
            answer. So the server ends only its own direction, and discards the input for a while,
            until the client closes the connection.
    """

    task_class = Task
    error_task_class = ProblemTask
    parser_class = StrictParser
    request: StrictParser | None
    close_when_flushed: bool

    def __init__(
        self,
        server: BaseWSGIServer,
        sock: socket.socket,
        addr: tuple[str, int],
        adj: Adjustments,
        map: dict[int, dispatcher] | None = None,  # waitress passes it by this name
        *,
        body_limit: BodyLimit | None = None,
        is_ending: Callable[[], bool] = bool,
        work_on: Callable[[Channel], object] = bool,
        quick: Quick | None = None,
        refuse: Refuse,
    ) -> None:
        """Take an accepted connection.

        See ``StrictParser`` for ``body_limit``. ``is_ending``: whether the server shuts down. A
        thread calls ``work_on`` when it begins to answer a request of this connection. ``quick``
        answers requests that need no wait; ``refuse`` answers requests that waitress rejects.
        """
        super().__init__(server, sock, addr, adj, map)
        self.lingers = False
        self._body_limit = body_limit
        self.is_ending = is_ending
        self._work_on = work_on
        self._quick = quick
        self.refuse = refuse
        self._has_last_request = False
        self._linger_until_s: float | None = None
        self._discarded_bytes = 0
        self._turn_bytes = 0
        self._at_once = 0

    def received(self, data: bytes) -> bool:
        """Divide the received bytes into requests, and start the first one.

        Every byte belongs to one request. A complete request never changes: waitress's own method
        sends 100 even after the end of a request, which marks the request as incomplete and gives
        its headers to the next one. Bytes after the last request of a connection, such as a body
        that is not read, are not parsed.
        """
        self._at_once = 0
        with self.requests_lock:
            if self.will_close or self.close_when_flushed:
                return False
            while data and not self._has_last_request:
                if self.request is None:
                    self.request = self.parser_class(self.adj, self._body_limit)
                data = data[self.request.received(data) :]
                if self.request.completed:
                    self._take_request(self.request)
            self.lingers = self.lingers or bool(data)
            request = self.request
            if request is not None and request.expect_continue and not self.requests:
                self.send_continue()
        return True

    def _take_request(self, request: StrictParser) -> None:
        """Queue a complete request; the next one gets its own parser and state."""
        self.request = None
        self.sent_continue = False
        if request.empty:
            return
        self._has_last_request = request.is_last
        self.lingers = request.is_body_unread or request.error is not None
        self.requests.append(request)
        if len(self.requests) == 1 and not self._answer_at_once(request):
            self.server.add_task(self)  # otherwise the thread that is at work goes on with it

    def _answer_at_once(self, request: StrictParser) -> bool:
        """Answer a request here, without a thread, if that needs no wait; return whether it did.

        To pass a plain GET to a thread and to wake the loop afterwards takes longer than to answer
        it. If a client pipelines requests, at most ``_AT_ONCE_MAX`` are answered here, and only
        while it has read all earlier answers.
        """
        is_turn = self._at_once < _AT_ONCE_MAX and not self.total_outbufs_len
        is_read = not request.error and request.command in QUICK_METHODS
        if self._quick is None or not is_turn or not is_read:
            return False
        task = self.task_class(self, request)
        answer = self._quick(task.get_environment())
        if answer is None:
            return False
        self._at_once += 1
        task.start()
        self.write_soon(task.whole_answer(*answer))
        self.current_outbuf_count = self.adj.outbuf_high_watermark  # the next has its own buffer
        self.close_when_flushed = task.close_on_finish
        self.requests.clear()
        request.close()
        return True

    def service(self) -> None:
        """Answer a request; waitress calls it in one of its threads."""
        self._work_on(self)
        super().service()

    def _flush_some(self, *, do_close: bool = True) -> bool:
        """Send output, at most one turn; waitress calls it in one thread at a time."""
        self._turn_bytes = 0
        is_sent: bool = super()._flush_some(do_close=do_close)
        return is_sent

    def send(self, data: bytes, *, do_close: bool = True) -> int:
        """Send what the socket accepts; at the end of a turn, return 0 as if it were full."""
        if self._turn_bytes >= _TURN_BYTES:
            return 0
        sent: int = super().send(data[: _TURN_BYTES - self._turn_bytes], do_close=do_close)
        self._turn_bytes += sent
        return sent

    def handle_write(self) -> None:
        """Send output; after the last answer, close the connection or linger."""
        if not (self.lingers and self.close_when_flushed):
            super().handle_write()
            return
        self._flush_exception(self._flush_some)
        if self.will_close:
            self.handle_close()
        elif not self.total_outbufs_len:
            self.close_when_flushed = False
            self._linger_until_s = time.time() + _LINGER_S
            with contextlib.suppress(OSError):  # the client is gone; the next read reports it
                self.socket.shutdown(socket.SHUT_WR)

    def handle_read(self) -> None:
        """Read input; discard it after the last answer."""
        if self._linger_until_s is None:
            super().handle_read()
            return
        try:
            data = self.recv(_LINGER_STEP_BYTES)  # closes the connection at the end of the input
        except OSError:
            data = b""
        self.last_activity = time.time()
        self._discarded_bytes += len(data)
        if self.connected and (not data or self._discarded_bytes > DISCARD_BYTES_MAX):
            self.handle_close()

    def is_over(self) -> bool:
        """See ``functions.feeds.connection``; any thread may call it.

        While a request is in flight, the main thread does not read the socket, so this method looks
        there for the end of the input.
        """
        if self.is_ending() or not self.connected:
            return True
        try:
            return not self.socket.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except BlockingIOError:
            return False
        except OSError:
            return True

    def unsent_bytes(self) -> int:
        """See ``functions.feeds.connection``."""
        size: int = self.total_outbufs_len
        return size

    def is_overdue(self, now_s: float, limits: ConnectionLimits) -> bool:
        """Return whether the client exceeds the time limit for what it is doing now."""
        idle_s: float = now_s - self.last_activity
        if self._linger_until_s is not None:
            return idle_s > _LINGER_IDLE_S or now_s > self._linger_until_s
        if self.total_outbufs_len:
            return idle_s > limits.body_timeout_s
        if self.requests:
            return False
        if self.request is None:
            is_new: bool = self.last_activity == self.creation_time
            return idle_s > (limits.header_timeout_s if is_new else limits.idle_timeout_s)
        if not self.request.headers_finished:
            began_s: float = self.request.began_s
            return now_s - began_s > limits.header_timeout_s
        return idle_s > limits.body_timeout_s

    def is_done(self) -> bool:
        """Return whether a server that shuts down may close the connection.

        It may if that interrupts no request and no answer, or if the client has stopped for
        ``_STALLED_S`` in the middle of one. A connection that is new, or was just used, may have a
        request on its way.
        """
        is_waiting = self.total_outbufs_len or (self.request is not None and not self.requests)
        idle_s: float = time.time() - self.last_activity
        if is_waiting:
            return idle_s > _STALLED_S
        return not self.requests and idle_s > _SETTLED_S


def close_all(channels: Iterable[Channel]) -> None:
    """Close connections; call it in the thread that owns the sockets.

    waitress itself marks a connection, and closes it when its socket accepts bytes again. If the
    client does not read, that never happens.
    """
    for channel in channels:
        channel.handle_close()


def overdue(channels: Iterable[Channel], limits: ConnectionLimits) -> list[Channel]:
    """Return the connections that are past a time limit."""
    now_s = time.time()
    return [channel for channel in channels if channel.is_overdue(now_s, limits)]


def longest_idle(channels: Collection[Channel]) -> list[Channel]:
    """Return some connections to close when the limit on connections is reached.

    A connection with an in-flight request, or with traffic within the last second, is not
    among them.
    """
    latest_s = time.time() - _PRESSED_IDLE_S
    idle = [
        channel
        for channel in channels
        if not channel.requests
        and not channel.total_outbufs_len
        and channel.last_activity < latest_s
    ]
    idle.sort(key=lambda channel: channel.last_activity)
    return idle[: max(1, len(channels) // _PRESSED_SHARE)]
