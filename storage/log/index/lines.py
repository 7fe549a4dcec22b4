"""The newest versions of many keys in order: read from the index in blocks, column by column.

It takes a quarter of the time of ``scan``, which yields a locator for each key. It goes upwards
only, and costs more for a few keys.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from itertools import chain, compress, islice
from typing import Final, NamedTuple

import numpy as np

from rundlet_server.storage.log.format.locator import Locator
from rundlet_server.storage.log.format.record import OVERHEAD, VALUES
from rundlet_server.storage.log.index.columns import KIND_MASK, OLDER
from rundlet_server.storage.log.index.delta import Delta, newest_at
from rundlet_server.storage.log.index.file import IndexFile
from rundlet_server.storage.log.index.meta_sizes import meta_sizes
from rundlet_server.storage.ranges import Range

_VALUES: Final = frozenset(VALUES)


class Lines(NamedTuple):
    """Keys, and for each the fields of its locator except ``previous``."""

    keys: Sequence[bytes] = ()
    revisions: Sequence[int] = ()
    positions: Sequence[int] = ()
    sizes: Sequence[int] = ()
    value_sizes: Sequence[int] = ()
    versions: Sequence[int] = ()
    kinds: Sequence[int] = ()
    content_types: Sequence[str] = ()
    expires_us: Sequence[int] = ()

    def locator(self, number: int) -> Locator:
        """Return the locator of a key."""
        return Locator(*(column[number] for column in self[1:]))  # type: ignore[arg-type] # in order

    def first(self, count: int) -> Lines:
        """Return the first of the lines."""
        return Lines._make(column[:count] for column in self)

    def followed_by(self, others: Lines) -> Lines:
        """Return these lines and then others."""
        if not self.keys:
            return others
        return Lines._make(list(chain(*columns)) for columns in zip(self, others, strict=True))

    def live_at(self, time_us: int) -> Lines:
        """Return the lines of values that have not expired."""
        has_expiry = any(self.expires_us)
        if not has_expiry and set(self.kinds) <= _VALUES:
            return self
        is_live = list(map(_VALUES.__contains__, self.kinds))
        if has_expiry:
            is_left = (not 0 < end_us <= time_us for end_us in self.expires_us)
            is_live = [is_value and left for is_value, left in zip(is_live, is_left, strict=True)]
        return self if all(is_live) else Lines._make(list(compress(c, is_live)) for c in self)


class Block(NamedTuple):
    """Lines of a source, complete up to the key ``through``; ``None`` if it has no more."""

    lines: Lines
    through: bytes | None


def merged(newest: NewestOfDeltas, blocks: Sequence[Block]) -> Block:
    """Return the lines of several sources: for each key the newest line.

    Args:
        newest: of deltas, which are newer than the index files.
        blocks: of index files, newest first.
    """
    if not newest.found and newest.through is None and len(blocks) == 1:
        return blocks[0]
    found: dict[bytes, tuple[object, ...]] = {}
    for block in reversed(blocks):
        found.update(zip(block.lines.keys, zip(*block.lines[1:], strict=True), strict=True))
    found.update(newest.found)
    keys = sorted(found)
    ends = [newest.through, *(block.through for block in blocks)]
    through = min((end for end in ends if end is not None), default=None)
    if through is not None:
        keys = keys[: bisect_right(keys, through)]
    if not keys:
        return Block(Lines(), through)
    columns = zip(*map(found.__getitem__, keys), strict=False)
    return Block(Lines(keys, *islice(columns, len(Lines._fields) - 1)), through)


class NewestOfDeltas(NamedTuple):
    """Locators by key, complete up to the key ``through``; ``None`` if the deltas have no more."""

    found: dict[bytes, Locator]
    through: bytes | None


def newest_of_deltas(deltas: Sequence[Delta], wanted: Range, count: int, at: int) -> NewestOfDeltas:
    """Return up to ``count`` keys of a range, as they were at a revision; deltas newest first."""
    found: dict[bytes, Locator] = {}
    for delta in reversed(deltas):
        keys = delta.sorted_keys()
        first, end = bisect_left(keys, wanted.low), bisect_left(keys, wanted.high)
        part = keys[first : min(end, first + count)]
        found.update(zip(part, map(delta.rows.__getitem__, part), strict=True))
    through = None
    if len(found) >= count:
        keys = sorted(found)
        through = keys[count - 1]
        for key in keys[count:]:
            del found[key]
    # A delta has the time of a commit before it has its locators.
    if any(delta.times.first_above(at) for delta in deltas):
        found = _as_of(at, found, deltas)
    return NewestOfDeltas(found, through)


def _as_of(at: int, keys: Iterable[bytes], deltas: Sequence[Delta]) -> dict[bytes, Locator]:
    """Return the keys that deltas had at a revision."""
    found: dict[bytes, Locator] = {}
    for key in keys:
        for delta in deltas:
            locator = newest_at(delta.rows.get(key), at)
            if locator is not None:
                found[key] = locator
                break
    return found


def block_of_index(index: IndexFile, wanted: Range, count: int) -> Block:
    """Return the keys of up to ``count`` rows of a range.

    Raises:
        Damaged: a part of the file that was needed is damaged.
    """
    first = index.lower_bound(wanted.low)
    end = min(first + count, index.row_count)
    if end > first and index.key(end - 1) >= wanted.high:
        end = index.lower_bound(wanted.high)
    rows, key_bytes, expires_us = index.block(first, end)
    offsets = (rows["key_offset"] - rows["key_offset"][0]).astype(np.int64)
    rows, starts, ends = rows[:-1], offsets[:-1], offsets[1:]
    is_older = (rows["flags"] & OLDER) != 0
    if is_older.any():
        columns = (rows, starts, ends, expires_us)
        rows, starts, ends, expires_us = (column[~is_older] for column in columns)
    keys = [key_bytes[a:b] for a, b in zip(starts.tolist(), ends.tolist(), strict=True)]
    sizes = rows["size"].astype(np.int64)
    type_names = index.type_names
    lines = Lines(
        keys,
        rows["revision"].tolist(),
        rows["position"].tolist(),
        sizes.tolist(),
        (sizes - OVERHEAD - (ends - starts) - meta_sizes(rows)).tolist(),
        rows["version"].tolist(),
        (rows["flags"] & KIND_MASK).tolist(),
        type_names[np.minimum(rows["type"], len(type_names) - 1)].tolist(),
        expires_us.tolist(),
    )
    return Block(lines, keys[-1] if end == first + count else None)
