"""The changes of a store, page by page.

Every commit locks the row of ``meta`` until it is visible, so all commits up to the revision in
that row are visible, and none below it comes later.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any, Final

from rundlet_server.storage.errors import Compacted
from rundlet_server.storage.interface import Limits
from rundlet_server.storage.metadata import metadata_bytes
from rundlet_server.storage.postgres.connections import Connections, Rows
from rundlet_server.storage.postgres.deciding import has_value
from rundlet_server.storage.postgres.listing import Range
from rundlet_server.storage.postgres.reading import metadata_of_row, shown_size
from rundlet_server.storage.requests import require_reached
from rundlet_server.storage.timeline import Changes, Event

_REVISIONS_MAX: Final = 100_000
"""A page ends after so many revisions, even if few of their keys are wanted."""
_ABOUT: Final = "rev, time_us, kind, k, version, size, type, expires_us, metadata"
_SELECT: Final = f"""
WITH m AS (SELECT rev, oldest_rev, oldest_us, LEAST(rev, %(last)s::bigint) AS last
    FROM {{meta}} WHERE id = 1)
SELECT m.*, p.* FROM m LEFT JOIN (
    SELECT {_ABOUT}, seq FROM {{kv}} WHERE rev > %(since)s::bigint AND rev <= (SELECT last FROM m)
"""
_PREFIX: Final = " AND k >= %(low)b AND k < %(high)b"
_ORDER: Final = " ORDER BY rev, seq LIMIT %(limit)s) p ON true ORDER BY p.rev, p.seq"
_ALL_OF_COMMIT: Final = f"SELECT {_ABOUT} FROM {{kv}} WHERE rev = %(rev)s"
_ABOVE_ALL_REVISIONS: Final = (1 << 63) - 1
_HEAD_SIZE: Final = 4


class Feed:
    """Reads changes, for one process."""

    def __init__(self, connections: Connections, limits: Limits) -> None:
        self._connections = connections
        self._limits = limits

    def changes(
        self, since: int, prefix: str, limit: int, include_values: bool, until: int | None
    ) -> Changes:
        """See ``Store.changes``; read again if a value was dropped between two statements."""
        while True:
            page = self._page(since, prefix, limit, include_values, until)
            wanted = {
                (event.key.encode(), event.revision)
                for event in page.events
                if include_values and has_value(event.kind) and not event.is_value_omitted
            }
            values = self._values(wanted)
            if values is not None:
                page.events[:] = [
                    event._replace(value=values.get((event.key.encode(), event.revision)))
                    for event in page.events
                ]
                return page

    def _page(
        self, since: int, prefix: str, limit: int, include_values: bool, until: int | None
    ) -> Changes:
        """Return a page without its values."""
        last = _ABOVE_ALL_REVISIONS if until is None else max(until, since)
        text = _SELECT + _ORDER
        keys = Range.of(prefix, None, None)
        if prefix:
            last = min(last, since + _REVISIONS_MAX)
            text = _SELECT + _PREFIX + _ORDER
        arguments = {"since": since, "last": last, "limit": limit + 1, **keys._asdict()}
        rows = self._connections.rows(text, arguments)
        head, oldest, oldest_us, reached = rows[0][:_HEAD_SIZE]
        if since < oldest:
            raise Compacted(oldest, oldest_us)
        self._connections.lives.require_kept(since, oldest, oldest_us)
        require_reached(since, head)
        found = [row[_HEAD_SIZE:-1] for row in rows if row[_HEAD_SIZE] is not None]
        if len(found) > limit:
            found, reached = self._whole(found, prefix, keys)
        events, reached = _fitting(
            found, reached, include_values=include_values, bytes_max=self._limits.answer_bytes_max
        )
        return Changes(events, reached, oldest)

    def _whole(self, found: Rows, prefix: str, keys: Range) -> tuple[Rows, int]:
        """Leave out the last commit, of which rows may be missing; read it if it is the only one.

        Return also the revision up to which nothing is missing.
        """
        cut = found[-1][0]
        whole = [row for row in found if row[0] < cut]
        if whole:
            return whole, whole[-1][0]
        text = _ALL_OF_COMMIT + (_PREFIX if prefix else "") + " ORDER BY seq"
        return self._connections.rows(text, {"rev": cut, **keys._asdict()}), cut

    def _values(self, wanted: set[tuple[bytes, int]]) -> dict[tuple[bytes, int], bytes] | None:
        """Return the values of keys at revisions; ``None`` if one is gone."""
        if not wanted:
            return {}
        rows = self._connections.rows(
            "SELECT kv.k, kv.rev, kv.v FROM unnest(%b::bytea[], %b::bigint[]) AS u(k, rev)"
            " JOIN {kv} kv ON kv.k = u.k AND kv.rev = u.rev",
            [list(column) for column in zip(*wanted, strict=True)],
        )
        found = {(key, revision): value for key, revision, value in rows}
        return found if len(found) == len(wanted) else None


def _fitting(
    rows: Rows, reached: int, *, include_values: bool, bytes_max: int
) -> tuple[list[Event], int]:
    """Return the events of the commits that fit on the page, and up to where they reach."""
    events: list[Event] = []
    left = bytes_max
    before: int | None = None
    for revision, commit in groupby(rows, key=lambda row: int(row[0])):
        writes = list(commit)
        size = sum(_size(row, include_values) for row in writes)
        if before is not None and size > left:
            return events, before
        for event in _events(writes, left if include_values else None):
            left -= len(event.key.encode()) + metadata_bytes(event.metadata)
            left -= event.size if include_values and not event.is_value_omitted else 0
            events.append(event)
        before = revision
    return events, reached


def _events(writes: Sequence[tuple[Any, ...]], left: int | None) -> Iterator[Event]:
    """Yield the events of a commit; those whose values exceed ``left`` bytes omit them."""
    for number, row in enumerate(writes, 1):
        revision, time_us, kind, key, version, size, content_type, expires_us, metadata = row
        is_omitted = False
        if left is not None:
            is_omitted = has_value(kind) and _size(row, True) > left
            left -= _size(row, not is_omitted)
        yield Event(
            *(revision, time_us, kind, key.decode(), version, size, content_type, expires_us),
            is_last=number == len(writes),
            is_value_omitted=is_omitted,
            metadata=metadata_of_row(metadata),
        )


def _size(row: tuple[Any, ...], include_value: bool) -> int:
    return len(row[3]) + shown_size(row[5] if include_value else 0, row[8])
