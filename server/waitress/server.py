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

from rundlet_server.functions.settings import ConnectionLimits
from rundlet_server.server.waitress.channel import Channel, let_go, longest_silent, overdue

if TYPE_CHECKING:
    from wsgiref.types import WSGIApplication

_POLL_S: Final = 1.0
_LOOK_OVER_S: Final = 0.5
_DRAIN_POLL_S: Final = 0.05
_OTHER_SOCKETS: Final = 2  # the one that listens, and the one that wakes the loop
_NO_TIMEOUT_S: Final = 10**9
_DEFAULT_LIMITS: Final = ConnectionLimits()
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
        self,
        app: WSGIApplication,
        listener: socket.socket,
        *,
        threads: int,
        body_bytes_max: int,
        limits: ConnectionLimits = _DEFAULT_LIMITS,
    ) -> None:
        """Listen on a bound socket; connections wait until ``run``.

        Args:
            app: called in ``threads`` threads.
            listener: bound, and not listening yet.
            threads: requests that are worked on at one time.
            body_bytes_max: what waitress itself refuses; above the limits of ``app``, whose
                answers say more.
            limits: on connections.
        """
        # A server that is busy, or has many connections, is no news.
        logging.getLogger("waitress").setLevel(logging.ERROR)
        self._limits = limits
        self._connections_max = _connections_max(limits)
        self._next_look_s = 0.0
        self._stop_asked_s: float | None = None
        self._map: dict[int, wasyncore.dispatcher] = {}
        self._server = waitress.server.create_server(
            app,
            map=self._map,
            sockets=[listener],
            threads=threads,
            ident=None,
            connection_limit=self._connections_max + _OTHER_SOCKETS,
            channel_timeout=_NO_TIMEOUT_S,  # we look connections over ourselves
            max_request_header_size=limits.header_bytes_max + 1,  # it refuses from there on
            max_request_body_size=body_bytes_max,
            asyncore_use_poll=True,  # select() cannot take descriptors above 1,023
            log_socket_errors=False,  # clients that go away are no news either
        )
        self._server.channel_class = Channel

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
            self._let_go()
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

    def _let_go(self) -> None:
        """Have connections closed that take too long, or for which there is no room."""
        channels = self._server.active_channels.values()
        if len(channels) >= self._connections_max:
            let_go(longest_silent(channels))
        now_s = time.monotonic()
        if now_s >= self._next_look_s:
            self._next_look_s = now_s + _LOOK_OVER_S
            let_go(overdue(channels, self._limits))

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
            channels = self._server.active_channels.values()
            let_go([channel for channel in channels if channel.is_done()])
            self._turn(_DRAIN_POLL_S)


def _connections_max(limits: ConnectionLimits) -> int:
    """Connections to allow, leaving most descriptors to the store's files and to bodies."""
    descriptors = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return min(limits.connections_max, max(descriptors // 3, 32))
