"""Serve with waitress: one process, one thread for all sockets, N threads for requests.

The main thread accepts connections, reads whole requests, hands them to the request threads and
sends their answers; no other thread touches a socket. waitress itself has no graceful shutdown,
so ``GracefulServer`` runs its loop.
"""

from __future__ import annotations

import functools
import logging
import signal
import socket
import time
from collections.abc import Callable
from types import FrameType
from typing import TYPE_CHECKING, Final

import waitress.server
from waitress import wasyncore

from rundlet_server.functions.monitoring.measures import Refuse
from rundlet_server.functions.settings import ConnectionLimits
from rundlet_server.server.signals import STOP_SIGNALS, is_ignored
from rundlet_server.server.waitress.channel import Channel, Quick, close_all, longest_idle, overdue
from rundlet_server.server.waitress.parser import BodyLimit
from rundlet_server.server.waitress.sockets import Sockets
from rundlet_server.storage.settings import descriptors_max

if TYPE_CHECKING:
    from wsgiref.types import WSGIApplication

_POLL_S: Final = 1.0
_BLOCKED_S: Final = 5.0
"""If a turn of the loop takes longer, the loop hangs: a turn waits at most ``_POLL_S``."""
_CHECK_EVERY_S: Final = 0.5
_DRAIN_POLL_S: Final = 0.05
_OTHER_SOCKETS: Final = 2  # the listening socket, and the one that wakes the loop
_NO_TIMEOUT_S: Final = 10**9
_DEFAULT_LIMITS: Final = ConnectionLimits()
_DRAIN_MAX_S: Final = 30.0
_SECOND_SIGNAL_S: Final = 0.5


class GracefulServer:
    """A waitress server that answers in-flight requests on SIGTERM, SIGINT or SIGHUP, and ends.

    1. The server accepts the connections that the system has already completed, then closes the
       listening socket, so no new connection is possible.
    2. It closes idle connections. A client that has sent part of a request may send the rest, as
       long as data keeps arriving; an in-flight request gets its answer.
    3. When no connection is left, or after half a minute, it ends the threads.

    A second signal half a second or more after the first ends the process at once. An earlier one
    counts as the same signal, because ``make`` and shells pass one signal on twice.
    """

    def __init__(
        self,
        app: WSGIApplication,
        listener: socket.socket,
        *,
        threads: int,
        body_limit: BodyLimit,
        refuse: Refuse,
        limits: ConnectionLimits = _DEFAULT_LIMITS,
        quick: Quick | None = None,
    ) -> None:
        """Listen on a bound socket; connections wait until ``run``.

        Args:
            app: called in ``threads`` threads.
            listener: bound, and not listening yet.
            threads: the number of requests that are handled at the same time.
            body_limit: the largest body that ``app`` accepts on each path. The server does not read
                a larger body: it calls ``app`` without it, and ``app`` rejects the request, because
                its errors have more details.
            refuse: answers a request that is refused before ``app`` is called.
            limits: the limits on connections.
            quick: answers some requests instead of ``app``, in the thread of the loop.
        """
        # waitress warns when it is busy or has many connections; neither needs attention.
        logging.getLogger("waitress").setLevel(logging.ERROR)
        self._limits = limits
        self._connections_max = _connections_max(limits)
        self._next_check_s = 0.0
        self._turned_s: float | None = None  # only while the loop runs
        self._stop_asked_s: float | None = None
        self._sockets = Sockets()
        self._server = waitress.server.create_server(
            app,
            map=self._sockets,
            sockets=[listener],
            threads=threads,
            ident=None,
            connection_limit=self._connections_max + _OTHER_SOCKETS,
            channel_timeout=_NO_TIMEOUT_S,  # _close_some applies the time limits
            max_request_header_size=limits.header_bytes_max + 1,  # waitress rejects this size
            log_socket_errors=False,  # a client that disconnects needs no attention either
        )
        self._server.channel_class = functools.partial(
            Channel,
            body_limit=body_limit,
            is_ending=lambda: self._stop_asked_s is not None,
            work_on=self._sockets.work_on,
            quick=quick,
            refuse=refuse,
        )
        self._server.pull_trigger = functools.partial(
            self._sockets.wake, self._server.trigger.pull_trigger
        )

    def run(self, on_ready: Callable[[], None]) -> None:
        """Serve until a signal asks to stop, then shut down; call it in the main thread.

        Args:
            on_ready: called once when the server accepts connections.
        """
        for number in STOP_SIGNALS:
            if not is_ignored(number):
                signal.signal(number, self._ask_to_stop)
        on_ready()
        while self._stop_asked_s is None:
            self._turn(_POLL_S)
            self._close_some()
        self._stop_accepting()
        self._drain(time.monotonic() + _DRAIN_MAX_S)
        self._turned_s = None
        self._server.task_dispatcher.shutdown()
        wasyncore.close_all(self._sockets)
        self._sockets.close()

    def is_moving(self) -> bool:
        """Return whether the loop makes progress, or does not run; any thread may call it."""
        turned_s = self._turned_s
        return turned_s is None or time.monotonic() - turned_s < _BLOCKED_S

    def _ask_to_stop(self, signal_number: int, _frame: FrameType | None) -> None:
        now_s = time.monotonic()
        if self._stop_asked_s is None:
            self._stop_asked_s = now_s
            self._server.trigger.pull_trigger()  # wakes the loop; only writes to a pipe
        elif now_s - self._stop_asked_s >= _SECOND_SIGNAL_S:
            signal.signal(signal_number, signal.SIG_DFL)
            signal.raise_signal(signal_number)

    def _turn(self, timeout_s: float) -> None:
        """Wait for an event on any socket, and handle it."""
        self._turned_s = time.monotonic()
        self._sockets.ask(self._server)  # it accepts nothing while there are too many connections
        self._sockets.turn(timeout_s)

    def _close_some(self) -> None:
        """Close connections that are past a time limit, or idle ones if there are too many."""
        channels = self._server.active_channels.values()
        if len(channels) >= self._connections_max:
            close_all(longest_idle(channels))
        now_s = time.monotonic()
        if now_s >= self._next_check_s:
            self._next_check_s = now_s + _CHECK_EVERY_S
            close_all(overdue(channels, self._limits))

    def _stop_accepting(self) -> None:
        connections = -1
        while len(self._server.active_channels) > connections:
            connections = len(self._server.active_channels)
            self._server.handle_accept()
        self._server.accepting = False
        self._server.del_channel()
        self._server.socket.close()

    def _drain(self, deadline_s: float) -> None:
        """Serve the remaining connections until each has its answer."""
        self._turn(0)  # reads data that has arrived, before a connection counts as idle
        while self._server.active_channels and time.monotonic() < deadline_s:
            channels = self._server.active_channels.values()
            close_all([channel for channel in channels if channel.is_done()])
            self._turn(_DRAIN_POLL_S)


def _connections_max(limits: ConnectionLimits) -> int:
    """Return how many connections to allow; most descriptors are for store files and bodies."""
    return min(limits.connections_max, max(descriptors_max() // 3, 32))
