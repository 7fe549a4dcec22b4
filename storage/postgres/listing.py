"""Lists and counts of a range of keys: one statement a page, whatever is rolled up."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from rundlet_server.storage.errors import InvalidKey
from rundlet_server.storage.interface import Entry, KeyInfo, Limits, Page
from rundlet_server.storage.large_values import Admit
from rundlet_server.storage.metadata import NO_METADATA
from rundlet_server.storage.postgres.connections import Connections
from rundlet_server.storage.postgres.looking import HEAD, HEAD_SIZE, Look
from rundlet_server.storage.postgres.reading import (
    AT_ONCE_BYTES_MAX,
    Reads,
    metadata_of_row,
    shown_size,
)
from rundlet_server.storage.timeline import At, Moment

_ABOVE_ALL_KEYS: Final = b"\xff"
"""No UTF-8 text starts with this byte."""
_LINE: Final = "k, rev, version, time_us, type, expires_us, size, metadata"


class Range(NamedTuple):
    """Keys from ``low`` on and below ``high``."""

    low: bytes
    high: bytes

    @classmethod
    def of(cls, prefix: str, start: str | None, end: str | None) -> Range:
        """Return the range of keys that start with ``prefix``, are >= ``start`` and < ``end``.

        Raises:
            InvalidKey: one of them cannot be encoded as UTF-8.
        """
        encoded = encode_bound(prefix)
        high = _successor(encoded)
        if end is not None:
            high = min(high, encode_bound(end))
        return cls(max(encoded, encode_bound(start or "")), high)

    def resumed(
        self, after: bytes, mark: bytes | None, prefix_size: int, *, reverse: bool
    ) -> Range:
        """Return the rest of the range behind ``after``: a key, or a prefix that was rolled up."""
        if reverse:
            return self._replace(high=min(self.high, after))
        is_rolled_up = mark is not None and mark in after[prefix_size:]
        following = _successor(after) if is_rolled_up else after + b"\0"
        return self._replace(low=max(self.low, following))


class Wanted(NamedTuple):
    """What a page is to hold; see ``Store.scan``."""

    range: Range
    prefix_size: int
    mark: bytes | None
    limit: int
    reverse: bool
    include_values: bool
    include_metadata: bool

    @property
    def has_cost(self) -> bool:
        """Whether a page holds more of a key than a line."""
        return self.include_values or self.include_metadata


class _Line(NamedTuple):
    """A line of a list: a key with its row, or a prefix that was rolled up."""

    name: bytes
    row: tuple[Any, ...] | None


class Lists:
    """Lists keys, and counts them."""

    def __init__(self, connections: Connections, reads: Reads, limits: Limits) -> None:
        self._connections = connections
        self._reads = reads
        self._limits = limits

    def page(self, wanted: Wanted, at: At | None, admit: Admit | None) -> Page:
        """Return a page; read it again if a value that is on it was dropped meanwhile."""
        while True:
            moment, rows = self._rows(wanted, self._reads.look(at))
            lines = [_line(row, wanted) for row in rows]
            shown, size = _fitting(lines, wanted, self._limits.answer_bytes_max)
            resume = shown[-1].name.decode() if len(shown) < len(lines) else None
            if admit is not None and wanted.has_cost:
                admit(size)
            missing = {
                line.name: line.row[1]
                for line in shown
                if wanted.include_values and line.row is not None and line.row[8] is None
            }
            values = self._reads.values_of(missing)
            if values is not None:
                keys = [
                    _key_info(line.row, values.get(line.name), wanted)
                    for line in shown
                    if line.row is not None
                ]
                prefixes = [line.name.decode() for line in shown if line.row is None]
                return Page(moment, keys, prefixes, resume)

    def count(self, keys: Range, at: At | None) -> int:
        """Return how many keys of a range have a value."""
        look = self._reads.look(at)
        [row] = self._connections.rows(
            f"{look.head} SELECT {HEAD}, (SELECT count(*) FROM {{kv}}"
            f" WHERE k >= %(low)b AND k < %(high)b AND {look.seen}) FROM m",
            {"low": keys.low, "high": keys.high, **look.arguments},
        )
        look.moment(row)
        count: int = row[HEAD_SIZE]
        return count

    def _rows(self, wanted: Wanted, look: Look) -> tuple[Moment, list[tuple[Any, ...]]]:
        """Return one row more than there may be on the page."""
        order = "DESC" if wanted.reverse else "ASC"
        value = "NULL::bytea"
        if wanted.include_values:
            value = f"CASE WHEN sum(size) OVER () <= {AT_ONCE_BYTES_MAX} THEN v END"
        lines = _plain(look, order) if wanted.mark is None else _rolled_up(look, wanted.reverse)
        rows = self._connections.rows(
            f"{look.head} SELECT {HEAD}, p.* FROM m LEFT JOIN"
            f" (SELECT {_LINE}, {value} FROM ({lines}) q) p ON true ORDER BY p.k {order}",
            {
                "low": wanted.range.low,
                "high": wanted.range.high,
                "limit": wanted.limit + 1,
                "mark": wanted.mark,
                "above": _successor(wanted.mark) if wanted.mark else None,
                "behind": wanted.prefix_size + 1,
                **look.arguments,
            },
        )
        moment = look.moment(rows[0])
        return moment, [row[HEAD_SIZE:] for row in rows if row[HEAD_SIZE] is not None]


def _plain(look: Look, order: str) -> str:
    return (
        f"SELECT {_LINE}, v FROM {{kv}} WHERE k >= %(low)b AND k < %(high)b AND {look.seen}"
        f" ORDER BY k {order} LIMIT %(limit)s"
    )


def _rolled_up(look: Look, reverse: bool) -> str:
    """Return a statement that jumps: behind a key to the next one, behind a prefix to its end.

    It looks up as many keys as there are lines, however many keys a prefix stands for.
    """
    place = "position(%(mark)b::bytea in substring(t.k from %(behind)s::int))"
    head = f"substring(t.k from 1 for %(behind)s::int - 1 + {place} - 1)"
    columns = f"{_LINE}, v"
    if reverse:
        bounds = f"k >= %(low)b AND k < CASE WHEN {place} > 0 THEN {head} || %(mark)b ELSE t.k END"
    else:
        bounds = (
            f"k >= CASE WHEN {place} > 0 THEN {head} || %(above)b ELSE t.k || '\\x00'::bytea END"
            " AND k < %(high)b"
        )
    first = f"AND {look.seen} ORDER BY k {'DESC' if reverse else 'ASC'} LIMIT 1"
    return (
        f"WITH RECURSIVE t AS ((SELECT {columns} FROM {{kv}} WHERE k >= %(low)b AND k < %(high)b"
        f" {first}) UNION ALL SELECT n.* FROM t, LATERAL"
        f" (SELECT {columns} FROM {{kv}} WHERE {bounds} {first}) n)"
        f" SELECT {columns} FROM t LIMIT %(limit)s"
    )


def _line(row: tuple[Any, ...], wanted: Wanted) -> _Line:
    key: bytes = row[0]
    place = key.find(wanted.mark, wanted.prefix_size) if wanted.mark else -1
    if wanted.mark is None or place < 0:
        return _Line(key, row)
    return _Line(key[: place + len(wanted.mark)], None)


def _fitting(lines: list[_Line], wanted: Wanted, bytes_max: int) -> tuple[list[_Line], int]:
    """Return the lines that fit on a page, at least one if there is any, and their size."""
    shown: list[_Line] = []
    size = 0
    for line in lines:
        with_line = size + len(line.name)
        if wanted.has_cost and line.row is not None:
            with_line += shown_size(line.row[6] if wanted.include_values else 0, line.row[7])
        if len(shown) == wanted.limit or (with_line > bytes_max and shown):
            break
        shown.append(line)
        size = with_line
    return shown, size


def _key_info(row: tuple[Any, ...], value: bytes | None, wanted: Wanted) -> KeyInfo:
    encoded, revision, version, time_us, content_type, expires_us, size, packed, held = row
    key = encoded.decode()
    entry = None
    metadata = metadata_of_row(packed) if wanted.has_cost else NO_METADATA
    if wanted.include_values:
        found = held if value is None else value
        entry = Entry(key, found, revision, version, time_us, content_type, expires_us, metadata)
    about = (entry, time_us, expires_us, metadata if wanted.include_metadata else NO_METADATA)
    return KeyInfo(key, revision, version, size, content_type, *about)


def encode_bound(bound: str) -> bytes:
    """Return the bytes of a bound of a range.

    Raises:
        InvalidKey: it cannot be encoded as UTF-8.
    """
    try:
        return bound.encode()
    except UnicodeEncodeError as ex:
        raise InvalidKey(f"a bound of a range cannot be encoded as UTF-8: {ex.reason}") from ex


def _successor(prefix: bytes) -> bytes:
    """Return the smallest bytes above everything that starts with ``prefix``."""
    if not prefix:
        return _ABOVE_ALL_KEYS
    return prefix[:-1] + bytes([prefix[-1] + 1])
