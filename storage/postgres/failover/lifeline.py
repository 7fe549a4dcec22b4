"""Ends statements that a database which no longer answers will never answer.

A host that is frozen, or that a network has cut off, keeps its connections: no error ever comes. So
a thread looks at statements that take long, and tries to connect to the same host. If that fails,
it shuts their sockets, and they fail as if the host had died. A database that is only slow, for
instance while it counts a hundred million keys, accepts the connection, and its statements are left
alone. A commit that waits for a synchronous standby is the exception: without one it would wait for
ever, so its outcome is reported as unknown.
"""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Final

import psycopg
from psycopg.conninfo import make_conninfo

_log: Final = logging.getLogger(__name__)
LOOK_EVERY_S: Final = 1.0
SUSPICIOUS_S: Final = 3.0
"""A statement that takes so long makes the thread try to connect ..."""
_PROBE_S: Final = 3
"""... and wait so long for that."""
STANDBY_S: Final = 8.0
"""A commit waits so long for a synchronous standby."""
_LOOK_AROUND_EVERY_S: Final = 5.0
"""How often other hosts of the address are looked at."""

_WAITING: Final = "SELECT pid FROM pg_stat_activity WHERE wait_event = 'SyncRep'"


class Lifeline:
    """Watches the connections of one pool that are in use. Any thread may use it."""

    def __init__(self, conninfo: str, look_around: Callable[[], None] | None) -> None:
        """Begin.

        Args:
            conninfo: of the pool.
            look_around: called every few seconds; leaves a primary that was replaced.
        """
        self._conninfo = conninfo
        self._look_around = look_around
        self._busy: dict[psycopg.Connection, float] = {}
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, name="rundlet-lifeline", daemon=True)
        self._thread.start()

    def begin(self, link: psycopg.Connection) -> None:
        """Note that a connection is in use from now on."""
        self._busy[link] = time.monotonic()

    def finish(self, link: psycopg.Connection) -> None:
        """Note that a connection is no longer in use."""
        self._busy.pop(link, None)

    def close(self) -> None:
        """End the thread."""
        self._end.set()
        self._thread.join()

    def _run(self) -> None:
        looked_s = time.monotonic()
        while not self._end.wait(LOOK_EVERY_S):
            try:
                self._end_hopeless(time.monotonic())
                if self._look_around and time.monotonic() - looked_s >= _LOOK_AROUND_EVERY_S:
                    looked_s = time.monotonic()
                    self._look_around()
            except Exception:
                _log.exception("the watch over the connections failed; it goes on")

    def _end_hopeless(self, now_s: float) -> None:
        """Shut the sockets of statements that will never be answered."""
        overdue = [each for each in list(self._busy.items()) if each[1] < now_s - SUSPICIOUS_S]
        answers: dict[tuple[str, int], set[int] | None] = {}
        for link, since_s in overdue:
            # The connection may break, or its statement end, at any moment.
            with contextlib.suppress(psycopg.Error, OSError):
                host = link.info.host, link.info.port
                if host not in answers:
                    answers[host] = self._ask(link)
                waiting = answers[host]
                is_stuck = waiting is None or (
                    since_s < now_s - STANDBY_S and link.info.backend_pid in waiting
                )
                if is_stuck and self._busy.get(link) == since_s:
                    _shut(link)

    def _ask(self, link: psycopg.Connection) -> set[int] | None:
        """Return the processes of a host that wait for a standby; ``None`` without an answer."""
        info = link.info
        conninfo = make_conninfo(
            self._conninfo,
            host=info.host,
            hostaddr=info.hostaddr,
            port=str(info.port),
            connect_timeout=_PROBE_S,
            target_session_attrs="any",
        )
        try:
            with psycopg.connect(conninfo, autocommit=True) as probe, _limited(probe):
                return {pid for (pid,) in probe.execute(_WAITING).fetchall()}
        except psycopg.OperationalError:
            return None
        except (psycopg.ProgrammingError, psycopg.NotSupportedError):
            return set()  # it is no PostgreSQL, and answers


@contextlib.contextmanager
def _limited(probe: psycopg.Connection) -> Iterator[None]:
    """Shut the socket of a probe if its statement takes too long as well."""
    timer = threading.Timer(_PROBE_S, _shut, (probe,))
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()


def _shut(link: psycopg.Connection) -> None:
    """Shut the socket of a connection, so that the thread that waits for it gets an error."""
    with socket.socket(fileno=os.dup(link.fileno())) as shared:
        shared.shutdown(socket.SHUT_RDWR)
