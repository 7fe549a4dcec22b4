"""Pages of keys in one pass over blocks of the index: lists upwards that roll up nothing.

``scan`` makes the other lists, key by key.

The garbage collector pauses meanwhile. It would look at thousands of new tuples, which form no
cycles, and that takes a tenth of the time of a page.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import partial
from itertools import accumulate, repeat
from operator import attrgetter
from typing import Final

from rundlet_server.storage.interface import Entry, KeyInfo
from rundlet_server.storage.log.format.record import OVERHEAD
from rundlet_server.storage.log.index.file import IndexFile
from rundlet_server.storage.log.index.lines import (
    Block,
    Lines,
    block_of_index,
    merged,
    newest_of_deltas,
)
from rundlet_server.storage.log.read.scan import Cost
from rundlet_server.storage.log.read.times import times_of
from rundlet_server.storage.log.read.view import NotPlain, View
from rundlet_server.storage.memory.collector import paused_collector
from rundlet_server.storage.metadata import NO_METADATA
from rundlet_server.storage.ranges import Range
from rundlet_server.storage.timeline import Moment

_LINES_MIN: Final = 32
"""A page of fewer keys takes less time key by key."""
_AT_ONCE: Final = 256
"""Values that are read in one pass; one by one, if one of them is not plain."""
_COUNTED_AT_ONCE: Final = 4_096
"""Keys that are in memory while all are counted."""
_new_info: Final = partial(tuple.__new__, KeyInfo)  # as ``KeyInfo(...)``, which takes twice as long


def suits_lines(view: View, wanted: Range, limit: int, at: int) -> bool:
    """Return whether ``read_lines`` can read a page, and takes less time than ``list_page``."""
    if wanted.reverse or limit < _LINES_MIN or not _has_many(view, wanted):
        return False
    if at == view.head.revision:
        return True
    # Lines show only the newest version that an index file has of a key.
    indexed = (state.last_revision for state in view.manifest.segments if state.is_indexed)
    return not view.erased and max(indexed, default=0) <= at


def _has_many(view: View, wanted: Range) -> bool:
    """Return whether some part of the index has many keys in a range."""
    for delta in view.deltas:
        keys = delta.sorted_keys()
        place = bisect_left(keys, wanted.low) + _LINES_MIN
        if place < len(keys) and keys[place] < wanted.high:
            return True
    for index in view.indexes:
        row = index.lower_bound(wanted.low) + _LINES_MIN
        if row < index.row_count and index.key(row) < wanted.high:
            return True
    return False


@paused_collector()
def read_lines(
    view: View, wanted: Range, limit: int, moment: Moment, cost: Cost
) -> tuple[Lines, str | None]:
    """Return what ``list_page`` returns of a range: its keys, and where the next page begins."""
    lines = Lines()
    rest: Range | None = wanted
    while rest is not None and len(lines.keys) <= limit:
        found, through = _block(view, rest, limit + 1, moment.revision)
        lines = lines.followed_by(found.live_at(moment.time_us))
        rest = None if through is None else replace(rest, low=through + b"\0")
    end = max(1, min(_count_within(lines, cost), limit))
    if end >= len(lines.keys):
        return lines, None
    return lines.first(end), lines.keys[end - 1].decode()


def count_lines(view: View, wanted: Range, moment: Moment) -> int:
    """Return the number of keys of a range that have a value."""
    count = 0
    rest: Range | None = wanted
    while rest is not None:
        found, through = _block(view, rest, _COUNTED_AT_ONCE, moment.revision)
        count += len(found.live_at(moment.time_us).keys)
        rest = None if through is None else replace(rest, low=through + b"\0")
    return count


def _count_within(lines: Lines, cost: Cost) -> int:
    """Return how many of the lines are within the size of a page."""
    sizes = lines.sizes if cost.has_values else list(map(len, lines.keys))
    if sum(sizes) <= cost.bytes_max:
        return len(sizes)
    if cost.has_values:
        sizes = [size - OVERHEAD for size in sizes]
    return bisect_right(list(accumulate(sizes)), cost.bytes_max)


def _block(view: View, wanted: Range, count: int, at: int) -> Block:
    """Return lines of a range, at least ``count`` if it has so many."""
    blocks: dict[int, Block] = {}
    # Keys behind the block of a large index file need not be read from the smaller files.
    for index in sorted(view.indexes, key=attrgetter("row_count"), reverse=True):
        rows = count if blocks else _rows_among_new_keys(view, index, wanted, count)
        block = blocks[index.number] = block_of_index(index, wanted, rows)
        if block.through is not None:
            wanted = replace(wanted, high=block.through + b"\0")
    newest = newest_of_deltas(view.deltas, wanted, count, at)
    return merged(newest, [blocks[index.number] for index in view.indexes])


def _rows_among_new_keys(view: View, index: IndexFile, wanted: Range, count: int) -> int:
    """Return how many rows of the largest index file make ``count`` lines with keys of deltas.

    This is an estimate: rows beyond a page are read in vain, and missing rows are read in another
    round.
    """
    first = index.lower_bound(wanted.low)
    if first + count > index.row_count:
        return count
    high = min(index.key(first + count - 1), wanted.high)
    sorted_keys = [delta.sorted_keys() for delta in view.deltas]
    found = sum(bisect_left(keys, high) - bisect_left(keys, wanted.low) for keys in sorted_keys)
    if not found:
        return count
    new_count = view.head.totals.key_count - sum(index.key_count for index in view.indexes)
    new = found * max(0.0, min(1.0, new_count / sum(map(len, sorted_keys))))
    return min(count, int(count * count / (count + new)) + _LINES_MIN)


@paused_collector()
def infos_of(view: View, lines: Lines, cost: Cost) -> list[KeyInfo]:
    """Return lines as a list shows them; a record is read as ``key_info`` reads it."""
    names = list(map(bytes.decode, lines.keys))
    entries = _read_values(view, names, lines) if cost.has_values else []
    if cost.has_values:
        types: Sequence[str] = [entry.content_type for entry in entries]
        times = [entry.time_us for entry in entries]
    else:
        types = _types_of(view, lines)
        times = times_of(view, lines.revisions, lines.positions)
    columns = (names, lines.revisions, lines.versions, lines.value_sizes, types)
    ends_us: Iterable[int | None] = repeat(None)
    if any(lines.expires_us):
        ends_us = [end_us or None for end_us in lines.expires_us]
    metadata = [entry.metadata for entry in entries] if cost.has_metadata else repeat(NO_METADATA)
    rows = zip(*columns, entries or repeat(None), times, ends_us, metadata, strict=False)
    return list(map(_new_info, rows))


def _read_values(view: View, names: Sequence[str], lines: Lines) -> list[Entry]:
    entries: list[Entry] = []
    columns = (lines.revisions, lines.positions, lines.sizes, lines.kinds)
    while len(entries) < len(names):
        part = slice(len(entries), len(entries) + _AT_ONCE)
        try:
            places = [column[part] for column in columns]
            entries += view.read_places(names[part], lines.keys[part], places)
        except NotPlain:
            locators = map(lines.locator, range(part.start, part.stop))
            entries += map(view.read_entry, names[part], lines.keys[part], locators)
    return entries


def _types_of(view: View, lines: Lines) -> Sequence[str]:
    """Return the content types; a record is read only for a rare one."""
    if "" not in lines.content_types:
        return lines.content_types
    return [
        content_type or view.read(lines.keys[number], lines.locator(number)).content_type
        for number, content_type in enumerate(lines.content_types)
    ]
