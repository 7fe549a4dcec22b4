"""Reads of values and counts, at any moment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from rundlet_server.storage.bounds import LARGE_VALUE_BYTES
from rundlet_server.storage.errors import Damaged
from rundlet_server.storage.interface import Entry, Limits, Snapshot, Stats
from rundlet_server.storage.large_values import Admit, LargeValue
from rundlet_server.storage.metadata import NO_METADATA, Metadata, decode_metadata
from rundlet_server.storage.postgres.clock import StoreClock
from rundlet_server.storage.postgres.connections import Connections
from rundlet_server.storage.postgres.looking import HEAD, HEAD_SIZE, Look
from rundlet_server.storage.postgres.pieces import RowPieces
from rundlet_server.storage.requests import check_answer
from rundlet_server.storage.timeline import At

AT_ONCE_BYTES_MAX: Final = 1024 * 1024
"""Values come with their sizes if all together take no more; else in a second statement, so that
their sizes can be refused first."""

_ABOUT: Final = "rev, version, time_us, type, expires_us, size, metadata"
_SMALL: Final = f"CASE WHEN size <= {LARGE_VALUE_BYTES} THEN v END"
# Counts and sizes of statements differ by constants of this module only.
_GET: Final = f"SELECT {_ABOUT}, v FROM {{kv}} WHERE k = %s AND end_rev IS NULL"
_PEEK: Final = f"SELECT {_ABOUT}, {_SMALL} FROM {{kv}} WHERE k = %s AND end_rev IS NULL"
_COUNTS: Final = """
WITH m AS (SELECT rev, oldest_rev, key_count, value_bytes,
    GREATEST(time_us, %s::bigint) AS now_us FROM {meta} WHERE id = 1)
SELECT m.rev, m.oldest_rev, m.key_count - e.count, m.value_bytes - e.size FROM m, (
    SELECT count(*) AS count, COALESCE(sum(size), 0)::bigint AS size FROM {kv}
    WHERE end_rev IS NULL AND expires_us <= (SELECT now_us FROM m)) e
"""


class Reads:
    """Reads single values, many values, and counts."""

    def __init__(self, connections: Connections, clock: StoreClock, limits: Limits) -> None:
        self._connections = connections
        self._clock = clock
        self._limits = limits

    def look(self, at: At | None) -> Look:
        """Return how to look at a moment."""
        return Look.at_moment(at, self._clock.now_us(), self._connections.lives)

    def get(self, key: str, encoded: bytes, at: At | None) -> Entry | None:
        """See ``Store.get``."""
        row = self._newest(_GET, encoded) if at is None else self._past("v", encoded, at)
        return None if row is None else _entry(key, row)

    def peek(self, key: str, encoded: bytes, at: At | None) -> Entry | LargeValue | None:
        """See ``Store.peek``."""
        row = self._newest(_PEEK, encoded) if at is None else self._past(_SMALL, encoded, at)
        return None if row is None else self.entry_or_large(key, encoded, row)

    def entry_or_large(self, key: str, encoded: bytes, row: tuple[Any, ...]) -> Entry | LargeValue:
        """Return the value of a row that leaves out large ones."""
        revision, version, time_us, content_type, expires_us, size, metadata, value = row
        if value is not None:
            return _entry(key, row)
        pieces = RowPieces(self._connections, encoded, revision)
        about = (revision, version, time_us, content_type, expires_us)
        return LargeValue(key, pieces, size, *about, metadata_of_row(metadata))

    def get_many(
        self, keys: Mapping[bytes, str], asked: Sequence[bytes], at: At | None, admit: Admit | None
    ) -> Snapshot:
        """See ``Store.get_many``; ``keys`` are those of ``asked``, each once.

        A value that is dropped between the two statements was replaced meanwhile: read again.
        """
        while True:
            look = self.look(at)
            rows = self._connections.rows(
                f"{look.head} SELECT {HEAD}, p.* FROM m LEFT JOIN (SELECT k, {_ABOUT},"
                f" CASE WHEN sum(size) OVER () <= {AT_ONCE_BYTES_MAX} THEN v END AS v"
                f" FROM {{kv}} WHERE k = ANY(%(keys)b) AND {look.seen}) p ON true",
                {"keys": list(keys), **look.arguments},
            )
            moment = look.moment(rows[0])
            found = {
                row[HEAD_SIZE]: row[HEAD_SIZE + 1 :] for row in rows if row[HEAD_SIZE] is not None
            }
            sizes = {
                key: len(key) + (shown_size(*found[key][5:7]) if key in found else 0)
                for key in keys
            }
            check_answer([sizes[key] for key in asked], self._limits, admit)
            values = self.values_of({key: row[0] for key, row in found.items() if row[7] is None})
            if values is None:
                continue
            entries = {
                key: _entry(keys[key], (*row[:7], values.get(key, row[7])))
                for key, row in found.items()
            }
            return Snapshot(moment, [entries.get(key) for key in asked])

    def values_of(self, revisions: Mapping[bytes, int]) -> dict[bytes, bytes] | None:
        """Return the values that keys have at revisions; ``None`` if one is gone."""
        if not revisions:
            return {}
        rows = self._connections.rows(
            "SELECT kv.k, kv.v FROM unnest(%b::bytea[], %b::bigint[]) AS u(k, rev)"
            " JOIN {kv} kv ON kv.k = u.k AND kv.rev = u.rev",
            (list(revisions), list(revisions.values())),
        )
        return dict(rows) if len(rows) == len(revisions) else None

    def stats(self) -> Stats:
        """See ``Store.stats``: totals of the last commit, without what has expired since."""
        [row] = self._connections.rows(_COUNTS, (self._clock.now_us(),))
        return Stats(*row)

    def _newest(self, query: str, encoded: bytes) -> tuple[Any, ...] | None:
        """Return the row of a value that has not expired.

        The table ``meta`` is left out: every commit changes it, and this is the most frequent read.
        """
        rows = self._connections.rows(query, (encoded,))
        if not rows:
            return None
        _, _, time_us, _, expires_us, *_ = rows[0]
        has_expired = expires_us is not None and expires_us <= self._clock.now_us(time_us)
        return None if has_expired else rows[0]

    def _past(self, value: str, encoded: bytes, at: At) -> tuple[Any, ...] | None:
        look = self.look(at)
        [row] = self._connections.rows(
            f"{look.head} SELECT {HEAD}, p.* FROM m LEFT JOIN (SELECT {_ABOUT}, {value}"
            f" FROM {{kv}} WHERE k = %(k)s AND {look.seen}) p ON true",
            {"k": encoded, **look.arguments},
        )
        look.moment(row)
        return row[HEAD_SIZE:] if row[HEAD_SIZE] is not None else None


def metadata_of_row(encoded: bytes | None) -> Metadata:
    """Return the metadata of a row.

    Raises:
        Damaged: another program wrote it.
    """
    if encoded is None:
        return NO_METADATA
    try:
        return decode_metadata(encoded)
    except ValueError as ex:
        raise Damaged("the column metadata", 0, str(ex)) from ex


def shown_size(size: int, metadata: bytes | None) -> int:
    """Return how many bytes a row adds to an answer that shows it, beside its key."""
    return size + len(metadata or b"")


def _entry(key: str, row: tuple[Any, ...]) -> Entry:
    revision, version, time_us, content_type, expires_us, _, metadata, value = row
    about = (revision, version, time_us, content_type, expires_us)
    return Entry(key, value, *about, metadata_of_row(metadata))
