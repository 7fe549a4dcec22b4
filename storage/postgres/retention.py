"""Drop history that is no longer kept, and log expiries.

A row is dropped if it ended at or below the *horizon*, the revision that was the head
``keep_for_s`` ago, unless it is one of the newest ``keep_versions`` of the newest life of a key
that has a value.
The horizon never rises above a revision that a long read holds.

1. raise ``oldest_rev`` to the horizon: from here on reads below it are refused;
2. delete the rows in small transactions, each of which locks the store, so that no restore copies
   from a row that goes. A process that dies in between leaves the rest to the next pass.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import psycopg

from rundlet_server.storage.postgres.clock import StoreClock
from rundlet_server.storage.postgres.connections import Connections, Rows
from rundlet_server.storage.postgres.deciding import Head
from rundlet_server.storage.postgres.remembering import FORGET
from rundlet_server.storage.postgres.writing import Statement, Writer

PASS_EVERY_US: Final = 60 * 1_000_000
"""The processes of a store share the passes: one in this time, by the process that claims it."""
_ROWS_MAX: Final = 1_000
"""Rows of one transaction."""

_CLAIM: Final = """
UPDATE {meta} SET compacted_us = %(now_us)s WHERE id = 1
    AND abs(%(now_us)s::bigint - compacted_us) >= %(every_us)s
"""
_HORIZON: Final = """
SELECT (SELECT c.rev FROM {commits} c WHERE c.time_us <= %(now_us)s::bigint - m.keep_for_us
        ORDER BY c.time_us DESC, c.rev DESC LIMIT 1),
    (SELECT min(h.rev) FROM {holds} h WHERE h.expires_us > %(now_us)s::bigint)
FROM {meta} m WHERE m.id = 1
"""
_TIME_AT: Final = "SELECT time_us FROM {commits} WHERE rev <= %s ORDER BY rev DESC LIMIT 1"
_RAISE: Final = "UPDATE {meta} SET oldest_rev = %s, oldest_us = %s WHERE id = 1"
_FORGET_HOLDS: Final = "DELETE FROM {holds} WHERE expires_us <= %s"
_FORGET_COMMITS: Final = "DELETE FROM {commits} WHERE rev < %s"
_DROPPED: Final = """
SELECT o.k, o.rev FROM {kv} o LEFT JOIN {kv} n ON n.k = o.k AND n.end_rev IS NULL
WHERE o.end_rev <= %(horizon)s AND NOT COALESCE(
    o.life = n.life AND o.version > n.version - (SELECT keep_versions FROM {meta} WHERE id = 1),
    false)
ORDER BY o.end_rev LIMIT %(limit)s
"""
_DROP: Final = """
DELETE FROM {kv} USING unnest(%b::bytea[], %b::bigint[]) AS u(k, rev)
WHERE kv.k = u.k AND kv.rev = u.rev
"""
_EXPIRED: Final = """
SELECT k FROM {kv} WHERE end_rev IS NULL AND expires_us <= %s ORDER BY expires_us LIMIT %s
"""


class Retention:
    """Drops and expires, for one process."""

    def __init__(self, connections: Connections, writer: Writer, clock: StoreClock) -> None:
        self._connections = connections
        self._writer = writer
        self._clock = clock

    def compact_if_due(self) -> None:
        """Do a pass if no process has done one lately.

        A claim that is further ahead than ``PASS_EVERY_US`` comes from a clock that is wrong.
        """
        claim = {"now_us": self._clock.now_us(), "every_us": PASS_EVERY_US}
        if self._connections.execute(_CLAIM, claim):
            self.compact()

    def compact(self) -> None:
        """Drop everything that is no longer kept."""
        horizon = self._writer.changing([(_HORIZON, {"now_us": self._clock.now_us()})], self._raise)
        while True:
            rows = self._connections.rows(_DROPPED, {"horizon": horizon, "limit": _ROWS_MAX})
            if not rows:
                return
            self._drop(rows)

    def expire(self) -> int:
        """Log the expiry of values that have expired; return of how many at most."""
        rows = self._connections.rows(_EXPIRED, (self._clock.now_us(), _ROWS_MAX))
        if rows:
            self._writer.expire([key for (key,) in rows])
        return len(rows)

    def forget(self) -> int:
        """Forget outcomes whose time is over; return how many."""
        return self._connections.execute(FORGET, (self._clock.now_us() // 1_000_000, _ROWS_MAX))

    def _raise(
        self, link: psycopg.Connection, head: Head, found: Sequence[Rows]
    ) -> tuple[int, Sequence[Statement]]:
        [(kept_since, held)] = found[0]
        horizon = max(head.oldest_revision, min(kept_since or 0, head.revision))
        if held is not None:
            horizon = max(head.oldest_revision, min(horizon, held))
        if horizon == head.oldest_revision:
            return horizon, []
        row = link.execute(self._connections.sql(_TIME_AT), (horizon,)).fetchone()
        return horizon, [
            (_RAISE, (horizon, row[0] if row else 0)),
            (_FORGET_COMMITS, (horizon,)),
            (_FORGET_HOLDS, (head.time_us,)),
        ]

    def _drop(self, rows: Rows) -> None:
        columns = [list(column) for column in zip(*rows, strict=True)]
        self._writer.changing([], lambda *_: (None, [(_DROP, columns)]))
