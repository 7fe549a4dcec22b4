"""Build an index of many records in one step, from stretches of the log, in log order.

``delta`` makes an object of each record, because commits come one by one and can be read
immediately. Here only the keys are objects; numpy does the rest.
"""

from __future__ import annotations

from operator import eq
from typing import Final

import numpy as np
import numpy.typing as npt
import xxhash
from numpy.lib.stride_tricks import sliding_window_view

from rundlet_server.storage.errors import Damaged
from rundlet_server.storage.log.format import record as records
from rundlet_server.storage.log.format.locator import pack_position
from rundlet_server.storage.log.format.record import WELL_KNOWN_TYPES, BadRecord
from rundlet_server.storage.log.format.record_headers import record_sizes
from rundlet_server.storage.log.format.stretches import Stretch, StretchRecords
from rundlet_server.storage.log.index.columns import (
    EXPIRES,
    OLDER,
    ROW_DTYPE,
    ROW_MASK,
    TYPE_IN_RECORD,
    Columns,
    Flags,
    Places,
    Rows,
    Words,
    shared_size,
    used_types,
)
from rundlet_server.storage.log.index.meta_sizes import set_meta_sizes

_WORD: Final = 8


class RowGatherer:
    """Gathers rows for one index; the versions of a key are added in the order of revisions.

    Attributes:
        row_count: rows gathered.
        key_bytes: bytes of their keys.
    """

    def __init__(self) -> None:
        self._keys: list[bytes] = []
        self._rows: list[Rows] = []
        self._expiries: dict[int, int] = {}
        self._types: dict[str, int] = {}
        self.row_count = 0
        self.key_bytes = 0

    def add(self, segment: int, stretch: Stretch, found: StretchRecords) -> None:
        """Add the records of a stretch of a segment.

        Raises:
            Damaged: the type or the expiry of a record cannot be read.
        """
        headers = found.headers
        first = pack_position(segment, stretch.offset)
        rows = np.zeros(len(headers), ROW_DTYPE)
        rows["revision"] = headers["revision"]
        rows["position"] = found.places.astype(np.uint64) + np.uint64(first)
        rows["key_offset"] = headers["key_size"]  # sums of these, once the rows are sorted
        rows["size"] = record_sizes(headers)
        rows["version"] = headers["version"]
        rows["flags"] = headers["kind"]
        set_meta_sizes(rows, headers["meta_size"])
        rows["type"] = self._numbers_of_codes()[headers["type_code"]]
        is_odd = (headers["meta_size"] > 0) | (headers["type_code"] >= len(WELL_KNOWN_TYPES))
        for row in np.flatnonzero(is_odd).tolist():
            header, place = headers[row], int(found.places[row])
            start = place + records.HEADER.size + int(header["key_size"])
            meta = stretch.data[start : start + int(header["meta_size"])]
            try:
                content_type, expires_us, _ = records.decode_meta(int(header["type_code"]), meta)
            except BadRecord as ex:
                raise Damaged(stretch.path, stretch.offset + place, str(ex)) from ex
            rows["type"][row] = self._number_of(content_type)
            if expires_us:
                rows["flags"][row] |= EXPIRES
                self._expiries[self.row_count + row] = expires_us
        self._rows.append(rows)
        self._keys += found.keys
        self.row_count += len(rows)
        self.key_bytes += int(headers["key_size"].sum(dtype=np.int64))

    def columns(self) -> Columns:
        """Return the index of all that was added."""
        # The newest first: a stable sort keeps the versions of a key in this order.
        keys = self._keys[::-1]
        gathered = np.concatenate([np.zeros(0, ROW_DTYPE), *self._rows])
        order, is_older = _sorted(keys, gathered["key_offset"][::-1].astype(np.int64))
        sorted_keys = list(map(keys.__getitem__, order.tolist()))
        rows = np.zeros(len(keys) + 1, ROW_DTYPE)
        rows[:-1] = gathered.take(len(keys) - 1 - order)
        rows["key_offset"] = np.append(0, np.cumsum(rows["key_offset"][:-1], dtype=np.int64))
        rows["flags"][:-1][is_older] |= OLDER
        types, rows["type"][:-1] = used_types(
            tuple(self._types)[:TYPE_IN_RECORD], rows["type"][:-1]
        )
        expiry_rows, expiry_times_us = self._expiry_columns(order)
        return Columns(
            rows,
            np.frombuffer(b"".join(sorted_keys), np.uint8),
            _hash_table(keys, order, is_older),
            types,
            expiry_rows,
            expiry_times_us,
        )

    def _number_of(self, content_type: str) -> int:
        number = self._types.setdefault(content_type, len(self._types))
        return min(number, TYPE_IN_RECORD)

    def _numbers_of_codes(self) -> npt.NDArray[np.uint16]:
        """Return the type number of each type code; 0 for codes whose type is in the meta map."""
        numbers = np.zeros(256, np.uint16)
        numbers[: len(WELL_KNOWN_TYPES)] = [self._number_of(name) for name in WELL_KNOWN_TYPES]
        return numbers

    def _expiry_columns(self, order: Places) -> tuple[npt.NDArray[np.uint32], Words]:
        """Return the rows that expire, ascending, and when."""
        gathered = np.fromiter(self._expiries, np.int64, len(self._expiries))
        times_us = np.fromiter(self._expiries.values(), np.uint64, len(self._expiries))
        row_of = np.empty(len(order), np.int64)
        row_of[order] = np.arange(len(order))
        rows = row_of[len(order) - 1 - gathered]
        by_row = np.argsort(rows)
        return rows[by_row].astype(np.uint32), times_us[by_row]


def _sorted(keys: list[bytes], sizes: Places) -> tuple[Places, Flags]:
    """Return the stable order of keys, and for each place whether its key equals the one before.

    ``sizes`` are the keys' own.

    numpy sorts by eight bytes of each key, behind the bytes that all have in common. Only keys that
    share their eight bytes with another key are compared as a whole.
    """
    numbers = _key_numbers(keys, sizes)
    order = np.argsort(numbers, kind="stable")
    sorted_numbers = numbers[order]
    is_tied = np.zeros(len(keys), np.bool_)
    is_tied[1:] = sorted_numbers[1:] == sorted_numbers[:-1]
    is_in_tie = is_tied.copy()
    is_in_tie[:-1] |= is_tied[1:]
    # The tied groups are in order already, so sorting all of them together mixes none.
    tied = sorted(order[is_in_tie].tolist(), key=keys.__getitem__)
    order[is_in_tie] = tied
    is_older = np.zeros(len(keys), np.bool_)
    tied_keys = list(map(keys.__getitem__, tied))
    is_same = np.fromiter(map(eq, tied_keys[1:], tied_keys), np.bool_, max(0, len(tied) - 1))
    is_older[np.flatnonzero(is_in_tie)[1:]] = is_same
    return order, is_older


def _key_numbers(keys: list[bytes], sizes: Places) -> Words:
    """Return eight bytes of each key as a number that is in the same order, or equal."""
    if not keys:
        return np.zeros(0, np.uint64)
    shared = shared_size(min(keys), max(keys))
    data = np.frombuffer(b"".join(keys) + bytes(_WORD), np.uint8)
    starts = np.cumsum(sizes) - sizes + shared
    words = sliding_window_view(data, _WORD)[starts]
    numbers: Words = words.view(">u8")[:, 0].astype(np.uint64)
    # Bytes behind a short key in ``data`` count as zeros.
    missing = np.maximum(0, _WORD - (sizes - shared)).astype(np.uint64) * np.uint64(8)
    numbers = numbers >> missing << missing
    numbers[missing == _WORD * 8] = 0
    return numbers


def _hash_table(keys: list[bytes], order: Places, is_older: Flags) -> Words:
    """Return the hash table of the distinct keys."""
    hashes = np.fromiter(map(xxhash.xxh3_64_intdigest, keys), np.uint64, len(keys))[order]
    firsts = np.flatnonzero(~is_older)
    return np.sort(hashes[firsts] & ~ROW_MASK | firsts.astype(np.uint64))
