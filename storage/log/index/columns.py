"""Index rows as numpy columns: how index files are built, merged and thinned out in memory.

Rows are sorted by key (as bytes), and for one key by revision, newest first. Beside the rows
there is a hash table of the distinct keys for point reads: one 64-bit word per key, the upper
half a hash of the key (its *tag*), the lower half the key's first row, in ascending order.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from operator import attrgetter, eq
from typing import Final

import numpy as np
import numpy.typing as npt
import xxhash

from rundlet_server.storage.errors import Unavailable
from rundlet_server.storage.log.format.locator import Locator
from rundlet_server.storage.log.format.record import (
    DELETE,
    ERASE,
    EXPIRE,
    OUTCOME,
    OVERHEAD,
)
from rundlet_server.storage.log.index.delta import Delta
from rundlet_server.storage.log.index.meta_sizes import meta_sizes, set_meta_sizes

ROW_DTYPE: Final = np.dtype(
    [
        ("revision", "<u8"),
        ("position", "<u8"),
        ("key_offset", "<u4"),
        ("size", "<u4"),
        ("version", "<u4"),
        ("type", "<u2"),
        ("flags", "u1"),
        ("meta_size", "u1"),
    ]
)
"""One row. The key ends at the ``key_offset`` of the next row, so one more row follows the last."""

KIND_MASK: Final = 0b0111
OLDER: Final = 0b1000
"""Flag of a row that has the same key as the row before it."""
EXPIRES: Final = 0b10000
TYPE_IN_RECORD: Final = 0xFFFF
"""Type of a row whose content type is not in the table of types, because that is full."""
KEY_BYTES_MAX: Final = (1 << 32) - 1
"""Key bytes that one index file can hold."""
ROW_BITS: Final = 32
"""Low bits of a word of the hash table: the row; the other half is the tag."""
ROW_MASK: Final = np.uint64((1 << ROW_BITS) - 1)
TAG_SHIFT: Final = np.uint64(ROW_BITS)
MERGE_FACTOR: Final = 3
"""An index is merged with the newer ones when it has at most this many times their rows: so a row
is copied only a few times, however many segments there are."""

_ROWS_AT_ONCE: Final = 1 << 18
"""Rows whose keys are copied in one step; a step needs one flag of memory for each byte of a key.
"""

Rows = npt.NDArray[np.void]
Words = npt.NDArray[np.uint64]
Places = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]
KeyBytes = npt.NDArray[np.uint8]
TypeNumbers = npt.NDArray[np.uint16]


def key_tag(key: bytes) -> int:
    """Return the 32-bit hash of a key in the hash table."""
    return xxhash.xxh3_64_intdigest(key) >> 32


@dataclass(frozen=True, slots=True)
class Columns:
    """An index in memory.

    Attributes:
        rows: ``ROW_DTYPE``, one more than there are versions; the last holds only the end of
            the last key.
        keys: the bytes of all rows' keys, one after the other.
        table: the hash table, ascending.
        types: content types by number.
        expiry_rows, expiry_times_us: the rows that expire, ascending, and when.
    """

    rows: Rows
    keys: KeyBytes
    table: Words
    types: tuple[str, ...]
    expiry_rows: npt.NDArray[np.uint32]
    expiry_times_us: Words

    @property
    def row_count(self) -> int:
        """The number of versions in this index."""
        return len(self.rows) - 1

    def key(self, row: int) -> bytes:
        """Return the key of a row."""
        start, end = self.rows["key_offset"][row], self.rows["key_offset"][row + 1]
        return self.keys[start:end].tobytes()


def from_delta(delta: Delta) -> Columns:
    """Return the rows of a delta that is complete."""
    # Two lists, not one of pairs: tens of thousands of new objects start the garbage collector,
    # which then looks at every locator there is.
    keys: list[bytes] = []
    locators: list[Locator] = []
    for key in delta.sorted_keys():
        locator: Locator | None = delta.rows[key]
        while locator is not None:
            keys.append(key)
            locators.append(locator)
            locator = locator.previous
    return from_versions(keys, locators)


def from_versions(keys: Sequence[bytes], locators: Sequence[Locator]) -> Columns:
    """Return columns of versions that are in order already, each with its key."""

    def column(name: str) -> Words:
        return np.fromiter(map(attrgetter(name), locators), np.uint64, len(locators))

    key_sizes = np.fromiter(map(len, keys), np.uint64, len(keys))
    is_older = np.zeros(len(keys), np.bool_)
    is_older[1:] = np.fromiter(map(eq, keys[1:], keys), np.bool_, max(0, len(keys) - 1))
    expires_us = column("expires_us")
    flags = column("kind").astype(np.uint8)
    flags[is_older] |= OLDER
    flags[expires_us > 0] |= EXPIRES
    content_types = [locator.content_type for locator in locators]
    types = {name: number for number, name in enumerate(dict.fromkeys(content_types))}
    type_numbers = np.fromiter(map(types.__getitem__, content_types), np.int64, len(keys))
    sizes = column("size")

    rows = np.zeros(len(keys) + 1, ROW_DTYPE)
    rows["key_offset"][1:] = np.cumsum(key_sizes)
    filled = rows[:-1]
    filled["revision"] = column("revision")
    filled["position"] = column("position")
    filled["size"] = sizes
    filled["version"] = column("version")
    filled["type"] = np.minimum(type_numbers, TYPE_IN_RECORD)
    filled["flags"] = flags
    set_meta_sizes(filled, sizes - np.uint64(OVERHEAD) - key_sizes - column("value_size"))

    firsts = np.flatnonzero(~is_older)
    tags = np.fromiter((key_tag(keys[row]) for row in firsts.tolist()), np.uint64, len(firsts))
    expiry_rows = np.flatnonzero(expires_us)
    return Columns(
        rows,
        np.frombuffer(b"".join(keys), np.uint8),
        np.sort(tags << TAG_SHIFT | firsts.astype(np.uint64)),
        tuple(types)[:TYPE_IN_RECORD],
        expiry_rows.astype(np.uint32),
        expires_us[expiry_rows],
    )


def merge_all(parts: Sequence[Columns]) -> Columns:
    """Merge several indexes, newest first, into one: neighbours become one until one is left.

    So each row is copied only as often as the number of parts can be halved.
    """
    while len(parts) > 1:
        pairs = zip(parts[::2], parts[1::2], strict=False)
        parts = [*(merge(newer, older) for newer, older in pairs), *parts[len(parts) // 2 * 2 :]]
    return parts[0]


def merge(newer: Columns, older: Columns) -> Columns:
    """Merge two indexes; all revisions in ``newer`` are above those in ``older``.

    Raises:
        Unavailable: there are more bytes of keys than one index can hold.
    """
    if len(newer.keys) + len(older.keys) > KEY_BYTES_MAX:
        raise Unavailable(
            f"one index file cannot hold more than {KEY_BYTES_MAX} bytes of keys; delete keys first"
        )
    firsts = np.flatnonzero(~_is_older(newer.rows[:-1]))
    places, is_same = _lower_bounds(older, newer, firsts)
    key_number = np.cumsum(~_is_older(newer.rows[:-1])) - 1
    place_of_row = places[key_number] if newer.row_count else places
    newer_at = place_of_row + np.arange(newer.row_count)
    older_rows = np.arange(older.row_count)
    older_at = older_rows + np.searchsorted(place_of_row, older_rows, side="right")

    types, newer_types, older_types = _merge_types(newer.types, older.types)
    rows = np.zeros(newer.row_count + older.row_count + 1, ROW_DTYPE)
    rows[newer_at] = newer.rows[:-1]
    rows["type"][newer_at] = newer_types[newer.rows["type"][:-1]]
    rows[older_at] = older.rows[:-1]
    rows["type"][older_at] = older_types[older.rows["type"][:-1]]
    rows["flags"][older_at[places[is_same]]] |= OLDER
    is_newer = np.zeros(len(rows) - 1, np.bool_)
    is_newer[newer_at] = True
    lengths = np.zeros(len(rows), np.int64)
    lengths[newer_at + 1] = _key_lengths(newer.rows)
    lengths[older_at + 1] = _key_lengths(older.rows)
    rows["key_offset"] = np.cumsum(lengths)

    expiry_rows = np.concatenate([newer_at[newer.expiry_rows], older_at[older.expiry_rows]])
    expiry_order = np.argsort(expiry_rows, kind="stable")
    expiry_times = np.concatenate([newer.expiry_times_us, older.expiry_times_us])
    return Columns(
        rows,
        _interleave_keys(newer, older, is_newer, lengths[1:]),
        _merge_tables(newer, older, newer_at, older_at, places[is_same]),
        types,
        expiry_rows[expiry_order].astype(np.uint32),
        expiry_times[expiry_order],
    )


def select(columns: Columns, is_kept: Flags) -> Columns:
    """Return only the rows for which ``is_kept`` is true, one flag per row."""
    if is_kept.all():
        return columns
    key_number = np.cumsum(~_is_older(columns.rows[:-1])) - 1
    kept = np.flatnonzero(is_kept)
    kept_numbers = key_number[kept]
    rows = np.zeros(len(kept) + 1, ROW_DTYPE)
    rows[:-1] = columns.rows[kept]
    is_first = np.ones(len(kept), np.bool_)
    is_first[1:] = kept_numbers[1:] != kept_numbers[:-1]
    flags = rows["flags"][:-1]
    rows["flags"][:-1] = np.where(is_first, flags & ~np.uint8(OLDER), flags | np.uint8(OLDER))
    lengths = _key_lengths(columns.rows)
    rows["key_offset"][0] = 0
    rows["key_offset"][1:] = np.cumsum(lengths[kept])

    new_row = np.full(columns.row_count, -1, np.int64)
    new_row[kept] = np.arange(len(kept))
    first_row = np.full(int(key_number[-1]) + 1, -1, np.int64)
    first_row[kept_numbers[is_first]] = np.flatnonzero(is_first)
    table_rows = first_row[key_number[(columns.table & ROW_MASK).astype(np.int64)]]
    is_left = table_rows >= 0
    tags = columns.table[is_left] & ~ROW_MASK
    expiry_rows = new_row[columns.expiry_rows]
    types, rows["type"][:-1] = used_types(columns.types, rows["type"][:-1])
    return Columns(
        rows,
        columns.keys[np.repeat(is_kept, lengths)],
        np.sort(tags | table_rows[is_left].astype(np.uint64)),
        types,
        expiry_rows[expiry_rows >= 0].astype(np.uint32),
        columns.expiry_times_us[expiry_rows >= 0],
    )


def used_types(types: tuple[str, ...], numbers: TypeNumbers) -> tuple[tuple[str, ...], TypeNumbers]:
    """Return the types that some rows have, and the new number of each row's type."""
    is_used = np.bincount(numbers, minlength=TYPE_IN_RECORD + 1) > 0
    renumbered = np.cumsum(is_used) - 1
    renumbered[TYPE_IN_RECORD] = TYPE_IN_RECORD
    used = tuple(name for number, name in enumerate(types) if is_used[number])
    return used, renumbered.astype(np.uint16)[numbers]


def _is_older(rows: Rows) -> Flags:
    is_older: Flags = (rows["flags"] & OLDER) != 0
    return is_older


def _key_lengths(rows: Rows) -> Places:
    offsets = rows["key_offset"].astype(np.int64)
    return offsets[1:] - offsets[:-1]


def _merge_types(
    newer: tuple[str, ...], older: tuple[str, ...]
) -> tuple[tuple[str, ...], npt.NDArray[np.uint16], npt.NDArray[np.uint16]]:
    """Return all types, and for each side the new number of each of its types."""
    types = {name: number for number, name in enumerate(dict.fromkeys(newer + older))}

    def renumbered(names: Iterable[str]) -> npt.NDArray[np.uint16]:
        numbers = np.full(TYPE_IN_RECORD + 1, TYPE_IN_RECORD, np.uint16)
        for number, name in enumerate(names):
            numbers[number] = min(types[name], TYPE_IN_RECORD)
        return numbers

    return tuple(types)[:TYPE_IN_RECORD], renumbered(newer), renumbered(older)


def _merge_tables(
    newer: Columns, older: Columns, newer_at: Places, older_at: Places, shadowed: Places
) -> Words:
    """Return the hash table of both; a key that both have leads to its row of ``newer``."""
    is_shadowed = np.zeros(older.row_count + 1, np.bool_)
    is_shadowed[shadowed] = True
    older_table = older.table[~is_shadowed[(older.table & ROW_MASK).astype(np.int64)]]
    words = []
    for table, at in ((newer.table, newer_at), (older_table, older_at)):
        new_rows = at[(table & ROW_MASK).astype(np.int64)].astype(np.uint64)
        words.append(table & ~ROW_MASK | new_rows)
    return np.sort(np.concatenate(words))


def _interleave_keys(newer: Columns, older: Columns, is_newer: Flags, lengths: Places) -> KeyBytes:
    """Return the key bytes of both in row order.

    ``is_newer`` says whose row each is, ``lengths`` how long its key is.
    """
    keys = np.empty(len(newer.keys) + len(older.keys), np.uint8)
    done = newer_done = 0
    for start in range(0, len(lengths), _ROWS_AT_ONCE):
        rows = slice(start, start + _ROWS_AT_ONCE)
        is_newer_byte = np.repeat(is_newer[rows], lengths[rows])
        block = keys[done : done + len(is_newer_byte)]
        newer_size = int(np.count_nonzero(is_newer_byte))
        older_done = done - newer_done
        older_size = len(block) - newer_size
        block[is_newer_byte] = newer.keys[newer_done : newer_done + newer_size]
        block[~is_newer_byte] = older.keys[older_done : older_done + older_size]
        done += len(block)
        newer_done += newer_size
    return keys


def _lower_bounds(older: Columns, newer: Columns, firsts: Places) -> tuple[Places, Flags]:
    """Return for each distinct key of ``newer`` its place in ``older``, and whether it is there.

    numpy compares eight bytes of each key as numbers, behind the bytes that all keys have in
    common. Only if those are equal are whole keys compared.
    """
    if not older.row_count or not len(firsts):
        return np.zeros(len(firsts), np.int64), np.zeros(len(firsts), np.bool_)
    ends = [older.key(0), older.key(older.row_count - 1)]
    ends += [newer.key(0), newer.key(newer.row_count - 1)]
    shared = shared_size(min(ends), max(ends))
    older_numbers = _key_numbers(older, np.arange(older.row_count), shared)
    newer_numbers = _key_numbers(newer, firsts, shared)
    low = np.searchsorted(older_numbers, newer_numbers, side="left")
    high = np.searchsorted(older_numbers, newer_numbers, side="right")
    is_same = np.zeros(len(firsts), np.bool_)
    for number in np.flatnonzero(low < high).tolist():
        key = newer.key(int(firsts[number]))
        place = bisect_left(
            range(older.row_count), key, int(low[number]), int(high[number]), key=older.key
        )
        low[number] = place
        is_same[number] = place < older.row_count and older.key(place) == key
    return low, is_same


def shared_size(low: bytes, high: bytes) -> int:
    """Return how many bytes all keys from ``low`` to ``high`` begin with in common."""
    for place, byte in enumerate(low):
        if place >= len(high) or high[place] != byte:
            return place
    return len(low)


def _key_numbers(columns: Columns, rows: Places, skipped: int) -> Words:
    """Return eight bytes of each row's key from ``skipped`` on as a number in the same order."""
    starts = columns.rows["key_offset"][rows].astype(np.int64) + skipped
    ends = columns.rows["key_offset"][rows + 1].astype(np.int64)
    padded = np.append(columns.keys, np.zeros(8, np.uint8))
    numbers = np.zeros(len(rows), np.uint64)
    for place in range(8):
        byte = np.where(starts + place < ends, padded[np.minimum(starts + place, ends)], 0)
        numbers = numbers << np.uint64(8) | byte.astype(np.uint64)
    return numbers


def value_sizes(columns: Columns, rows: Places) -> Places:
    """Return the size of the value of each of some rows."""
    ends, sizes = columns.rows["key_offset"], columns.rows["size"]
    key_sizes = ends[rows + 1].astype(np.int64) - ends[rows]
    found: Places = sizes[rows] - key_sizes - meta_sizes(columns.rows[rows]) - OVERHEAD
    return found


def is_tombstone(columns: Columns) -> Flags:
    """Return one flag per row: whether it is a tombstone."""
    kinds = columns.rows["flags"][:-1] & KIND_MASK
    ends: Flags = (kinds == DELETE) | (kinds == EXPIRE)
    tombstones: Flags = ends | (kinds == ERASE) | (kinds == OUTCOME)
    return tombstones


def is_outcome(columns: Columns) -> Flags:
    """Return one flag per row: whether it is the outcome of a commit."""
    outcomes: Flags = (columns.rows["flags"][:-1] & KIND_MASK) == OUTCOME
    return outcomes
