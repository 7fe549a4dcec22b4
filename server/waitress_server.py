"""Serving with waitress: one process, one thread for all sockets, N threads for requests.

The main thread accepts, reads whole requests, hands them to the request threads and sends what
they answer; no other thread touches a socket. waitress itself knows no graceful end, so
``GracefulServer`` drives its loop.
"""

from __future__ import annotations

import logging
import resource
import signal
import socket
import time
from collections.abc import Callable
from types import FrameType
from typing import TYPE_CHECKING, Final

import waitress.server
from waitress import wasyncore
from waitress.channel import HTTPChannel
from waitress.task import WSGITask

from server.waitress_errors import ProblemTask, StrictParser

if TYPE_CHECKING:
    from wsgiref.types import WSGIApplication

_IDLE_TIMEOUT_S: Final = 75  # above the 60 s after which common proxies close their side
_CONNECTIONS_MAX: Final = 1_000
_POLL_S: Final = 1.0
_DRAIN_POLL_S: Final = 0.05
_STALLED_REQUEST_S: Final = 5.0
_DRAIN_MAX_S: Final = 30.0
_SECOND_SIGNAL_S: Final = 0.5


class GracefulServer:
    """A waitress server that ends on SIGTERM and SIGINT after the requests in work.

    1. Connections that the system has already completed are taken in, then the listening socket
       is closed: nobody new comes in.
    2. Connections with nothing to do are closed. One that has sent part of a request may send
       the rest, as long as it moves; one whose request is being worked on gets its answer.
    3. When no connection is left, or after half a minute, the threads are ended.

    A second signal half a second or more after the first ends the process at once; sooner it
    is taken for the same wish, for ``make`` and shells pass one signal on twice.
    """

    def __init__(
        self, app: WSGIApplication, listener: socket.socket, *, threads: int, body_bytes_max: int
    ) -> None:
        """Listen on a bound socket; connections wait until ``run``.

        Args:
            app: called in ``threads`` threads.
            listener: bound, and not listening yet.
            threads: requests that are worked on at one time.
            body_bytes_max: what waitress itself refuses; above the limits of ``app``, whose
                answers say more.
        """
        logging.getLogger("waitress.queue").setLevel(logging.ERROR)  # a busy server is no news
        self._stop_asked_s: float | None = None
        self._map: dict[int, wasyncore.dispatcher] = {}
        self._server = waitress.server.create_server(
            app,
            map=self._map,
            sockets=[listener],
            threads=threads,
            ident=None,
            connection_limit=_connections_max(),
            channel_timeout=_IDLE_TIMEOUT_S,
            cleanup_interval=10,
            max_request_body_size=body_bytes_max,
            asyncore_use_poll=True,  # select() cannot take descriptors above 1,023
            log_socket_errors=False,  # clients that go away are no news either
        )
        self._server.channel_class = _Channel

    def run(self, on_ready: Callable[[], None]) -> None:
        """Serve until a signal asks to stop, then finish; must be called in the main thread.

        Args:
            on_ready: called once when connections are accepted.
        """
        signal.signal(signal.SIGTERM, self._ask_to_stop)
        signal.signal(signal.SIGINT, self._ask_to_stop)
        on_ready()
        while self._stop_asked_s is None:
            self._turn(_POLL_S)
        self._stop_accepting()
        self._drain(time.monotonic() + _DRAIN_MAX_S)
        self._server.task_dispatcher.shutdown()
        wasyncore.close_all(self._map)

    def _ask_to_stop(self, signal_number: int, _frame: FrameType | None) -> None:
        now_s = time.monotonic()
        if self._stop_asked_s is None:
            self._stop_asked_s = now_s
            self._server.pull_trigger()  # wakes the poll; only writes to a pipe
        elif now_s - self._stop_asked_s >= _SECOND_SIGNAL_S:
            signal.signal(signal_number, signal.SIG_DFL)
            signal.raise_signal(signal_number)

    def _turn(self, timeout_s: float) -> None:
        """Wait for something to happen on any socket, and handle it."""
        wasyncore.loop(timeout=timeout_s, use_poll=True, map=self._map, count=1)

    def _stop_accepting(self) -> None:
        connections = -1
        while len(self._server.active_channels) > connections:
            connections = len(self._server.active_channels)
            self._server.handle_accept()
        self._server.accepting = False
        self._server.del_channel()
        self._server.socket.close()

    def _drain(self, deadline_s: float) -> None:
        """Serve the connections that are left until each has its answer."""
        self._turn(0)  # takes what has arrived, before a connection is called idle
        while self._server.active_channels and time.monotonic() < deadline_s:
            for channel in self._server.active_channels.values():
                if _is_done(channel):
                    channel.will_close = True  # closed by the next turn
            self._turn(_DRAIN_POLL_S)


class _Task(WSGITask):  # type: ignore[misc] # waitress has no types
    """A request whose connection stays open when the answer has no body.

    waitress 3.0 closes it after each 204 and 304, so that every PUT and DELETE would need a new
    connection. Such an answer ends with its headers (RFC 9112, section 6.3): nothing is unclear.
    """

    def set_close_on_finish(self) -> None:
        asked_to_close = self.request.headers.get("CONNECTION", "").lower() == "close"
        if self.has_body or self.version != "1.1" or asked_to_close:
            super().set_close_on_finish()


class _Channel(HTTPChannel):  # type: ignore[misc] # as above
    task_class = _Task
    error_task_class = ProblemTask
    parser_class = StrictParser


def _is_done(channel: HTTPChannel) -> bool:
    """Whether a connection may be closed without cutting off a request or an answer."""
    if channel.requests or channel.total_outbufs_len:
        return False
    if channel.request is None:
        return True
    stalled_s: float = time.time() - channel.last_activity
    return stalled_s > _STALLED_REQUEST_S


def _connections_max() -> int:
    """Connections to allow, leaving most descriptors to the store's files and to bodies."""
    descriptors = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return min(_CONNECTIONS_MAX, max(descriptors // 3, 32))
