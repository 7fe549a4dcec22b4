"""The moment of a read, as parts of a statement.

Every read is one statement, and so one snapshot. Its first part, ``m``, is the row of ``meta`` with
the time that decides what has expired::

    WITH m AS (SELECT rev, ..., now_us) SELECT m.rev, ... FROM m LEFT JOIN (...) p ON true

so a read that finds nothing has a row, too, with its moment.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from rundlet_server.storage.errors import Compacted
from rundlet_server.storage.postgres.failover.lives import Lives
from rundlet_server.storage.requests import require_reached
from rundlet_server.storage.timeline import At, Moment

HEAD: Final = "m.rev, m.oldest_rev, m.oldest_us, m.now_us"
HEAD_SIZE: Final = 4

_META: Final = (
    "WITH m AS (SELECT rev, oldest_rev, oldest_us, {now} AS now_us FROM {{meta}} WHERE id = 1)"
)
_NOW: Final = "GREATEST(time_us, %(now_us)s::bigint)"
_GIVEN: Final = "%(now_us)s::bigint"
_OF_COMMIT: Final = (
    "COALESCE((SELECT c.time_us FROM {commits} c WHERE c.rev <= %(at)s::bigint"
    " ORDER BY c.rev DESC LIMIT 1), 0)"
)
_NEWEST: Final = "end_rev IS NULL"
_PAST: Final = "rev <= %(at)s::bigint AND (end_rev IS NULL OR end_rev > %(at)s::bigint)"
_UNEXPIRED: Final = "(expires_us IS NULL OR expires_us > (SELECT now_us FROM m))"


class Look(NamedTuple):
    """Parts of a statement that reads at a moment.

    Attributes:
        head: the part that defines ``m``.
        seen: whether a row of ``kv`` is seen.
        arguments: of the two.
        at: where the read looks; ``None`` for now.
        lives: which revisions are lost.
    """

    head: str
    seen: str
    arguments: dict[str, object]
    at: At | None
    lives: Lives

    @classmethod
    def at_moment(cls, at: At | None, now_us: int, lives: Lives) -> Look:
        """Return how to look at a moment; ``now_us`` is the time now."""
        if at is None:
            return cls(_head(_NOW), f"{_NEWEST} AND {_UNEXPIRED}", {"now_us": now_us}, at, lives)
        seen = f"{_PAST} AND {_UNEXPIRED}"
        if isinstance(at, Moment):
            arguments: dict[str, object] = {"at": at.revision, "now_us": at.time_us}
            return cls(_head(_GIVEN), seen, arguments, at, lives)
        return cls(_head(_OF_COMMIT), seen, {"at": at}, at, lives)

    def moment(self, row: tuple[int, ...]) -> Moment:
        """Return the moment of a read, from the columns ``HEAD`` of one of its rows.

        Raises:
            Compacted: it is no longer kept, or lost.
            InvalidRequest: it is above the head.
        """
        revision, oldest, oldest_us, time_us = row[:HEAD_SIZE]
        if self.at is None:
            return Moment(revision, time_us)
        wanted = self.at.revision if isinstance(self.at, Moment) else self.at
        if wanted < oldest:
            raise Compacted(oldest, oldest_us)
        self.lives.require_kept(wanted, oldest, oldest_us)
        require_reached(wanted, revision)
        return Moment(wanted, time_us)


def _head(now: str) -> str:
    return _META.format(now=now)
