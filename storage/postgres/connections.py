"""Connections to the database, for one process: a pool, and what to do if one breaks."""

from __future__ import annotations

import contextlib
import logging
import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, TypeVar

import psycopg
from psycopg_pool import ConnectionPool

from rundlet_server.storage.forks import ProcessGuard
from rundlet_server.storage.postgres.failover.hosts import Hosts
from rundlet_server.storage.postgres.failover.lifeline import Lifeline
from rundlet_server.storage.postgres.failover.lives import Lives
from rundlet_server.storage.postgres.failures import is_lost, is_retried, raise_for, translated
from rundlet_server.storage.postgres.place import Place
from rundlet_server.storage.postgres.schema import Statements

CONNECTIONS_MAX: Final = 10
"""Of one process. A statement takes a fraction of a millisecond, so few serve many threads."""
_WAIT_S: Final = 3.0
"""How long a request waits for a connection, at most; then it fails, as the database is away."""
_RECONNECT_S: Final = 2.0
"""How long the pool tries to reconnect on its own. It waits longer and longer between two attempts;
after it has given up, the next request tries again at once."""
_ATTEMPTS: Final = 5
_LOCKED_S: Final = 8
"""How long a statement waits for a lock, and how long one that fails is tried again, at most."""
_PAUSE_S: Final = 0.01
"""Between two attempts after another transaction has won, longer each time."""

_Answer = TypeVar("_Answer")
Rows = list[tuple[Any, ...]]  # what the columns hold stands in the statement
Arguments = Sequence[object] | Mapping[str, object]

logging.getLogger("psycopg.pool").addHandler(logging.NullHandler())  # else lines go to stderr


class Connections:
    """The connections of one open store. Any thread may use them, in the process that made them.

    Attributes:
        lives: which revisions are lost.
    """

    def __init__(
        self, place: Place, *, size_max: int = CONNECTIONS_MAX, is_read_only: bool = False
    ) -> None:
        """Connect; ``size_max`` is the most connections.

        Raises:
            Unavailable: the database cannot be reached.
        """
        self.statements = Statements(place.schema)
        self.sql = self.statements.sql
        self._guard = ProcessGuard()
        self._lock = threading.Lock()
        self._is_session_ours = place.is_session_ours
        kwargs: dict[str, Any] = {"autocommit": True}
        if not place.is_session_ours:
            kwargs["prepare_threshold"] = None
        self.lives = Lives(self.statements, is_read_only=is_read_only)
        self._hosts = Hosts(place.conninfo)
        self._primary = ""
        self._pool = ConnectionPool(
            self._find_primary,
            kwargs=kwargs,
            min_size=1,
            max_size=size_max,
            timeout=_WAIT_S,
            reconnect_timeout=_RECONNECT_S,
            configure=self._configure,
            open=False,
            name="rundlet",
        )
        self._drained_s = time.monotonic()
        self._lifeline = Lifeline(
            place.conninfo, self._leave_old_primary if self._hosts.are_several else None
        )
        try:
            self._pool.open(wait=True, timeout=_WAIT_S)
        except BaseException as ex:
            self._lifeline.close()
            self._pool.close()
            raise_for(ex, translated(ex))

    def rows(self, text: str, arguments: Arguments = ()) -> Rows:
        """Do one statement that reads, and return its rows.

        Raises:
            Unavailable: the database does not answer.
        """
        query = self.sql(text)
        return self.retrying(lambda link: link.execute(query, arguments, binary=True).fetchall())

    def execute(self, text: str, arguments: Arguments = ()) -> int:
        """Do one statement that may be done twice without harm; return the count of its rows."""
        query = self.sql(text)
        return self.retrying(lambda link: int(link.execute(query, arguments).rowcount))

    def retrying(self, work: Callable[[psycopg.Connection], _Answer]) -> _Answer:
        """Do work that may be done twice; if it fails, do it again if that may help.

        After a failover all connections of the pool are broken, or never answer, so all are
        replaced.
        """
        until_s = time.monotonic() + _LOCKED_S
        for attempt in range(1, _ATTEMPTS + 1):
            began_s = time.monotonic()
            try:
                with self.connection() as link:
                    return work(link)
            except Exception as ex:
                is_last = attempt == _ATTEMPTS or time.monotonic() > until_s
                if is_lost(ex) or is_lost(ex.__cause__):  # of ``OutcomeUnknown``
                    self._replace(began_s)
                if is_last or not (is_retried(ex) or is_lost(ex)):
                    raise_for(ex, translated(ex))
                if not is_lost(ex):
                    time.sleep(random.uniform(0, _PAUSE_S * attempt))
        raise AssertionError("the last attempt returns or raises")

    @contextlib.contextmanager
    def connection(self) -> Iterator[psycopg.Connection]:
        """Lend a connection, which returns to the pool, or is replaced if it is broken."""
        self._guard.require_own()
        link = self._pool.getconn()
        self._lifeline.begin(link)
        try:
            yield link
        finally:
            self._lifeline.finish(link)  # before another thread may begin with it
            self._pool.putconn(link)

    def _replace(self, since_s: float) -> None:
        """Replace all connections, unless another thread has done so since."""
        with self._lock:
            if self._drained_s < since_s:
                self._drained_s = time.monotonic()
                self._pool.drain()

    def _find_primary(self) -> str:
        self._primary = self._hosts.primary()
        return self._primary

    def _leave_old_primary(self) -> None:
        """Replace all connections if another host has taken over."""
        with contextlib.suppress(psycopg.Error):
            if self._hosts.primary() != self._primary:
                self._replace(time.monotonic())

    def _configure(self, link: psycopg.Connection) -> None:
        """Set up a new connection.

        Every list reads an index in its order: without statistics of a young table, the planner of
        PostgreSQL reads and sorts all keys of a range for a page of a thousand. With a lock
        timeout, a commit that holds the lock of the store and cannot end, such as one that waits
        for a standby, does not hold up all others. Other databases may not have these settings.
        """
        settings = ("enable_bitmapscan = off", f"lock_timeout = '{_LOCKED_S}s'")
        self._lifeline.begin(link)
        try:
            for setting in settings if self._is_session_ours else ():
                with contextlib.suppress(psycopg.ProgrammingError, psycopg.NotSupportedError):
                    link.execute(f"SET {setting}")
            self.lives.enter(link)
        except BaseException:
            link.close()
            raise
        finally:
            self._lifeline.finish(link)

    def counts(self) -> Mapping[str, int]:
        """Return figures of the pool by name, as psycopg has them."""
        return dict(self._pool.get_stats())

    @property
    def is_inherited(self) -> bool:
        """Whether they belong to the parent process."""
        return self._guard.is_inherited

    def close(self) -> None:
        """Close all; in a forked child they are the parent's, and stay open."""
        if not self._guard.is_inherited:
            self._lifeline.close()
            self._pool.close()
