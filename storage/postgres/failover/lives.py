"""The lives of a store: what one primary after the other has written.

A standby that takes over may lack the last commits of the primary, if no commit waited for it; a
restore takes a database back. The new primary would give the revisions of what is lost to other
commits, and old ETags, cursors and positions in the feed would mean something else. So the first
connection to a new timeline begins a new life, in one transaction:

1. raise the head by ``REVISION_GAP``, above every revision that the life before may have reached;
2. insert a row into ``lives``: the revision above which the life begins, the head of the life
   before as far as it is known here, and the timeline.

A revision between the two was used by a primary that is gone, or by none: a request for it is
refused with ``Compacted``, and no commit gets it again. If nothing was lost, no client has such a
revision.
"""

from __future__ import annotations

import threading
from typing import Final, NamedTuple

import psycopg

from rundlet_server.storage.errors import Compacted
from rundlet_server.storage.postgres.failover.hosts import is_older, timeline_of
from rundlet_server.storage.postgres.failures import MISSING_TABLES
from rundlet_server.storage.postgres.schema import Statements

REVISION_GAP: Final = 1 << 24
"""No primary commits so much in the time by which a standby is behind."""

_READ: Final = """
SELECT m.rev, l.rev, l.head, l.timeline FROM {meta} m LEFT JOIN {lives} l ON true WHERE m.id = 1
ORDER BY l.rev
"""
_LOCK: Final = "SELECT rev FROM {meta} WHERE id = 1 FOR UPDATE"
_RAISE: Final = "UPDATE {meta} SET rev = %s WHERE id = 1"
_BEGIN: Final = "INSERT INTO {lives} (rev, head, timeline) VALUES (%s, %s, %s)"
# Commits that wait for a standby would keep all connections waiting after the failover. This one
# may be lost in the next failover, which begins a life of its own.
_UNREPLICATED: Final = "SET LOCAL synchronous_commit = local"


class Life(NamedTuple):
    """One row of ``lives``: its commits are above ``revision``, those before end at ``head``."""

    revision: int
    head: int
    timeline: str


class Lives:
    """The lives of one open store. Any thread may use it.

    Attributes:
        known: oldest first.
        lost_revisions: how many revisions that this process had seen are lost.
    """

    def __init__(self, statements: Statements, *, is_read_only: bool) -> None:
        """Begin without any; if ``is_read_only``, this process begins no life."""
        self.known: tuple[Life, ...] = ()
        self.lost_revisions = 0
        self._sql = statements.sql
        self._is_read_only = is_read_only
        self._lock = threading.Lock()
        self._timeline = ""
        self._seen = 0

    def note(self, revision: int) -> None:
        """Note a revision that was read or committed."""
        self._seen = max(self._seen, revision)

    def enter(self, link: psycopg.Connection) -> None:
        """Use a new connection: begin a new life if its server is on another timeline.

        Raises:
            psycopg.OperationalError: the server is a primary that another one has replaced.
        """
        seen = self._seen  # before the head is read: it is no older than this
        timeline = timeline_of(link)
        if is_older(timeline, self._timeline):
            message = "another primary has taken over from this one; if not, restart this server"
            raise psycopg.OperationalError(message)
        try:
            head, lives = self._read(link)
        except psycopg.ProgrammingError as ex:
            if ex.sqlstate in MISSING_TABLES:
                return  # every statement reports it
            raise
        if not self._is_read_only and timeline and _is_new(timeline, head, seen, lives):
            lives = self._begin(link, timeline, seen)
        with self._lock:
            if timeline and not is_older(timeline, self._timeline):
                self._timeline = timeline
            begun = lives[len(self.known) :]
            if self.known:
                self.lost_revisions += sum(max(0, seen - life.head) for life in begun)
            self.known += begun

    def require_kept(self, revision: int, oldest: int, oldest_us: int = 0) -> None:
        """Refuse a revision that only an earlier life has reached.

        Raises:
            Compacted: the revision is lost.
        """
        if life := self._without(revision):
            raise Compacted(oldest, oldest_us, restored_at=life.head)

    def is_lost(self, revision: int) -> bool:
        """Return whether only an earlier life had a revision."""
        return self._without(revision) is not None

    def _without(self, revision: int) -> Life | None:
        return next((x for x in self.known if x.head < revision < x.revision), None)

    def _read(self, link: psycopg.Connection) -> tuple[int, tuple[Life, ...]]:
        rows = link.execute(self._sql(_READ)).fetchall()
        lives = tuple(Life(*row[1:]) for row in rows if row[1] is not None)
        return rows[0][0] if rows else 0, lives

    def _begin(self, link: psycopg.Connection, timeline: str, seen: int) -> tuple[Life, ...]:
        """Begin a life, unless another process has done so meanwhile; return all."""
        with link.transaction():
            link.execute(_UNREPLICATED)
            link.execute(self._sql(_LOCK))
            head, lives = self._read(link)
            if _is_new(timeline, head, seen, lives):
                revision = max(head, seen) + REVISION_GAP if lives else head
                link.execute(self._sql(_RAISE), (revision,))
                link.execute(self._sql(_BEGIN), (revision, head, timeline))
                lives = (*lives, Life(revision, head, timeline))
        return lives


def _is_new(timeline: str, head: int, seen: int, lives: tuple[Life, ...]) -> bool:
    """Return whether a new life is to begin: another timeline, or a head that went back."""
    return not lives or lives[-1].timeline != timeline or head < seen
