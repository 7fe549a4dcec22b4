"""Compare index files with the log."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np

from rundlet_server.storage.log.check.rebuild import live_rows
from rundlet_server.storage.log.index import columns as index_columns
from rundlet_server.storage.log.index.columns import OLDER, TYPE_IN_RECORD, Columns, Places
from rundlet_server.storage.log.index.file import IndexFile

_FIELDS: Final = ("revision", "position", "key_offset", "size", "version", "flags", "meta_size")


def row_problems(index: IndexFile) -> Iterator[str]:
    """Yield what is wrong with an index file by itself: the order of its rows, its hash table."""
    columns = index.columns()
    last_key, last_revision = b"", 0
    for row, (revision, flags) in enumerate(columns.rows[["revision", "flags"]][:-1].tolist()):
        key = index.key(row)
        if flags & OLDER:
            if key != last_key or revision >= last_revision:
                yield f"row {row} is not an older version of the key in the row before"
        elif key <= last_key:
            yield f"row {row} is not in the order of keys"
        else:
            found = index.find(key, None)
            if found is None or found.revision != revision:
                yield f"the hash table does not find the key {shown(key)}"
        last_key, last_revision = key, revision


def differences(indexes: Sequence[Columns], log: Columns) -> Iterator[str]:
    """Yield where index files differ from the index made of the segments that they cover.

    Index files may leave out versions that no read needs any more, and tombstones.

    Args:
        indexes: the index files, newest first.
        log: all versions in those segments.
    """
    index = index_columns.merge_all(indexes) if indexes else index_columns.from_versions([], [])
    yield from _lost_rows(index, log)
    covered = index_columns.select(log, _is_among(log, index))
    if covered.row_count == index.row_count:
        yield from _unequal_rows(index, covered)
    yield from _missing_keys(index, log)


def shown(key: bytes) -> str:
    """Return a key for a message, short."""
    text = key.decode(errors="backslashreplace")
    return repr(text if len(text) <= 100 else text[:100] + "...")


def _is_among(columns: Columns, others: Columns) -> index_columns.Flags:
    return np.isin(columns.rows["position"][:-1], others.rows["position"][:-1])


def _lost_rows(index: Columns, log: Columns) -> Iterator[str]:
    lost = np.flatnonzero(~_is_among(index, log))
    if len(lost):
        yield f"{len(lost)} versions are not in the log: {_sample(index, lost)}"


def _unequal_rows(index: Columns, log: Columns) -> Iterator[str]:
    is_unequal = np.zeros(index.row_count, np.bool_)
    for field in _FIELDS:
        is_unequal |= index.rows[field][:-1] != log.rows[field][:-1]
    is_unequal |= _renumbered_types(index, log) != log.rows["type"][:-1]
    rows = np.flatnonzero(is_unequal)
    if len(rows):
        yield f"{len(rows)} rows differ from their records: {_sample(index, rows)}"
    if not np.array_equal(index.keys, log.keys):
        yield "the keys differ from those of the records"
    is_same_expiry = np.array_equal(index.expiry_rows, log.expiry_rows)
    if not is_same_expiry or not np.array_equal(index.expiry_times_us, log.expiry_times_us):
        yield "the times of expiry differ from those of the records"


def _renumbered_types(index: Columns, log: Columns) -> index_columns.TypeNumbers:
    """Return the types of the rows of ``index`` by the numbers that ``log`` gives them."""
    numbers = {name: number for number, name in enumerate(log.types)}
    renumbered = np.full(TYPE_IN_RECORD + 1, TYPE_IN_RECORD, np.uint16)
    for number, name in enumerate(index.types):
        renumbered[number] = numbers.get(name, TYPE_IN_RECORD)
    types: index_columns.TypeNumbers = renumbered[index.rows["type"][:-1]]
    return types


def _missing_keys(index: Columns, log: Columns) -> Iterator[str]:
    live_in_log = np.flatnonzero(live_rows(log))
    live_positions = index.rows["position"][:-1][live_rows(index)]
    positions = log.rows["position"][:-1][live_in_log]
    missing = live_in_log[~np.isin(positions, live_positions)]
    if len(missing):
        yield f"the newest versions of {len(missing)} keys are missing: {_sample(log, missing)}"
    uncalled = np.flatnonzero(live_rows(index))[~np.isin(live_positions, positions)]
    if len(uncalled):
        yield f"{len(uncalled)} versions are not the newest: {_sample(index, uncalled)}"


def _sample(columns: Columns, rows: Places) -> str:
    names = [
        f"{shown(columns.key(row))} at revision {columns.rows['revision'][row]}"
        for row in rows[:3].tolist()
    ]
    return ", ".join(names) + (" ..." if len(rows) > len(names) else "")
