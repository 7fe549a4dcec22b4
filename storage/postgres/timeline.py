"""The past of a store and what comes next: moments, versions, history, changes, holds, erasure."""

from __future__ import annotations

import contextlib
import secrets
from collections import deque
from collections.abc import Sequence
from typing import Final

import psycopg

from rundlet_server.storage.bounds import LARGE_VALUE_BYTES
from rundlet_server.storage.errors import Compacted, Unavailable
from rundlet_server.storage.interface import Entry
from rundlet_server.storage.large_values import LargeValue
from rundlet_server.storage.past.holds import RemoteHold, release_all
from rundlet_server.storage.postgres.clock import StoreClock
from rundlet_server.storage.postgres.connections import Connections, Rows
from rundlet_server.storage.postgres.deciding import Head
from rundlet_server.storage.postgres.reading import Reads, metadata_of_row
from rundlet_server.storage.postgres.writing import Statement, Writer
from rundlet_server.storage.requests import check_retention, require_past, require_reached
from rundlet_server.storage.timeline import Erased, History, Moment, Retention, Version

HOLD_US: Final = 300 * 1_000_000
"""A hold ends so long after its process has renewed it last."""

_MOMENT: Final = """
SELECT rev, oldest_rev, oldest_us, time_us, (SELECT c.rev FROM {commits} c
    WHERE c.time_us <= %s ORDER BY c.time_us DESC, c.rev DESC LIMIT 1) FROM {meta} WHERE id = 1
"""
_VERSION: Final = f"""
SELECT m.oldest_rev, m.oldest_us, n.kind, l.newest, o.* FROM {{meta}} m
LEFT JOIN (SELECT kind FROM {{kv}} WHERE k = %(k)s ORDER BY rev DESC LIMIT 1) n ON true
LEFT JOIN (SELECT life, version AS newest FROM {{kv}} WHERE k = %(k)s AND version > 0
    ORDER BY rev DESC LIMIT 1) l ON true
LEFT JOIN (SELECT rev, version, time_us, type, expires_us, size, metadata,
    CASE WHEN size <= {LARGE_VALUE_BYTES} THEN v END, life
    FROM {{kv}} WHERE k = %(k)s AND version = %(version)s AND version > 0) o ON o.life = l.life
WHERE m.id = 1
"""
_HISTORY: Final = """
SELECT m.rev, m.oldest_rev, p.* FROM {meta} m LEFT JOIN (
    SELECT rev, version, kind, time_us, size, type, expires_us, metadata FROM {kv}
    WHERE k = %s AND rev < %s ORDER BY rev DESC LIMIT %s) p ON true
WHERE m.id = 1 ORDER BY p.rev DESC
"""
_EXPIRED: Final = """
SELECT k FROM {kv} WHERE rev <= %(rev)s AND (end_rev IS NULL OR end_rev > %(rev)s)
    AND expires_us > %(after_us)s AND expires_us <= %(time_us)s ORDER BY k
"""
_ABOVE_ALL_REVISIONS: Final = (1 << 63) - 1
_RETENTION: Final = "SELECT keep_versions, keep_for_us FROM {meta} WHERE id = 1"
_RETAIN: Final = "UPDATE {meta} SET keep_versions = %s, keep_for_us = %s WHERE id = 1"
_HOLD: Final = "INSERT INTO {holds} (id, rev, expires_us) VALUES (%s, %s, %s)"
_RENEW: Final = "UPDATE {holds} SET expires_us = %s WHERE id = ANY(%b)"
_RELEASE: Final = "DELETE FROM {holds} WHERE id = %s"
_ALL_OF_KEY: Final = (
    "SELECT rev, kind, size, end_rev IS NULL, expires_us FROM {kv} WHERE k = %s ORDER BY rev DESC"
)
_ERASE: Final = "DELETE FROM {kv} WHERE k = %s"
_ERASED: Final = """
INSERT INTO {kv} (k, rev, seq, end_rev, life, kind, version, time_us, type, expires_us, size, v)
    VALUES (%s, %s, 0, %s, %s, 'erase', 0, %s, 'application/octet-stream', NULL, 0, NULL)
"""


class PostgresTimeline:
    """Reads at any moment, for one process. All methods may be called from any thread."""

    def __init__(
        self, connections: Connections, reads: Reads, writer: Writer, clock: StoreClock
    ) -> None:
        self._connections = connections
        self._reads = reads
        self._writer = writer
        self._clock = clock
        self._held: set[str] = set()
        self._abandoned: deque[str] = deque()

    def moment(self, time_us: int) -> Moment:
        """See ``Store.moment``."""
        require_past(time_us, self._clock.now_us())
        [row] = self._connections.rows(_MOMENT, (time_us,))
        head, oldest, oldest_us, head_us, found = row
        revision = head if time_us >= head_us else found or 0
        if revision < oldest:
            raise Compacted(oldest, oldest_us)
        return Moment(revision, time_us)

    def get_version(self, key: str, encoded: bytes, version: int) -> Entry | LargeValue | None:
        """See ``Store.get_version``."""
        [row] = self._connections.rows(_VERSION, {"k": encoded, "version": version})
        oldest, oldest_us, kind, newest, *found = row
        if found[0] is not None:
            return self._reads.entry_or_large(key, encoded, tuple(found[:-1]))
        is_known = kind is not None and kind != "erase"
        if is_known and version > 0 and (newest is None or version < newest):
            raise Compacted(oldest, oldest_us)
        return None

    def history(self, encoded: bytes, limit: int, before: int | None) -> History:
        """See ``Store.history``."""
        below = _ABOVE_ALL_REVISIONS if before is None else before
        rows = self._connections.rows(_HISTORY, (encoded, below, limit + 1))
        head, oldest = rows[0][:2]
        versions = [
            Version(*row[2:-1])._replace(metadata=metadata_of_row(row[-1]))
            for row in rows
            if row[2] is not None
        ]
        resume = None
        if len(versions) > limit:
            resume = versions[limit - 1].revision if limit else before
        return History(head, oldest, versions[:limit], resume)

    def expired(self, after_us: int, at: Moment) -> list[str]:
        """See ``Store.expired``."""
        self._require_kept(at.revision)
        arguments = {"rev": at.revision, "after_us": after_us, "time_us": at.time_us}
        return [key.decode() for (key,) in self._connections.rows(_EXPIRED, arguments)]

    def retention(self) -> Retention:
        """See ``Store.retention``."""
        [(keep_versions, keep_for_us)] = self._connections.rows(_RETENTION)
        return Retention(keep_versions, keep_for_us / 1e6)

    def retain(self, retention: Retention) -> None:
        """See ``Store.retain``."""
        check_retention(retention)
        arguments = (retention.keep_versions, round(retention.keep_for_s * 1_000_000))
        self._connections.execute(_RETAIN, arguments)

    def hold(self, revision: int, *, is_read_only: bool) -> RemoteHold[str]:
        """See ``Store.hold``; one of a process that died ends after a while."""

        def take() -> str | None:
            if not is_read_only:
                return self._take(revision)
            self._require_kept(revision)
            return None

        return RemoteHold(take, self._release, self._abandoned)

    def renew_holds(self) -> None:
        """Keep the holds of this process for longer; call it more often than ``HOLD_US``.

        It ends the holds that their readers have abandoned.
        """
        release_all(self._abandoned, self._release)
        if self._held:
            until_us = self._clock.now_us() + HOLD_US
            self._connections.execute(_RENEW, (until_us, list(self._held)))

    def erase(self, encoded: bytes) -> Erased:
        """See ``Store.erase``: the rows go at once, their bytes with a vacuum of the database."""

        def decide(
            _link: psycopg.Connection, head: Head, found: Sequence[Rows]
        ) -> tuple[Erased, Sequence[Statement]]:
            rows = found[0]
            if not rows:
                return Erased(head.revision, 0, is_pending=False, is_found=False), []
            newest, kind, *_ = rows[0]
            if kind == "erase":
                return Erased(newest, 0, is_pending=False), []
            values = [row for row in rows if row[1] in ("put", "restore")]
            newest_values = [row for row in rows if row[3]]
            has_expired = any(row[4] and row[4] <= head.time_us for row in newest_values)
            revision = head.revision + 1 + has_expired  # the expiry would have one of its own
            size = sum(row[2] for row in newest_values)
            place = (encoded, revision, revision, revision, head.time_us)
            return Erased(revision, len(values), is_pending=False), [
                (_ERASE, (encoded,)),
                (_ERASED, place),
                *self._writer.counted([revision], head, -len(newest_values), -size),
            ]

        erased = self._writer.changing([(_ALL_OF_KEY, (encoded,))], decide)
        self._writer.on_commit(erased.revision)
        return erased

    def _take(self, revision: int) -> str:
        """Insert a hold while the store is locked, so that no compaction overtakes it."""
        name = secrets.token_hex(16)

        def decide(
            _link: psycopg.Connection, head: Head, _found: Sequence[Rows]
        ) -> tuple[None, Sequence[Statement]]:
            if revision < head.oldest_revision:
                raise Compacted(head.oldest_revision)
            self._connections.lives.require_kept(revision, head.oldest_revision)
            require_reached(revision, head.revision)
            return None, [(_HOLD, (name, revision, head.time_us + HOLD_US))]

        self._writer.changing([], decide)
        self._held.add(name)
        return name

    def _release(self, name: str) -> None:
        self._held.discard(name)
        with contextlib.suppress(Unavailable):  # it ends by itself
            self._connections.execute(_RELEASE, (name,))

    def _require_kept(self, revision: int) -> None:
        look = self._reads.look(revision)
        [row] = self._connections.rows(
            f"{look.head} SELECT m.rev, m.oldest_rev, m.oldest_us, m.now_us FROM m", look.arguments
        )
        look.moment(row)
