r"""An index file: an immutable, sorted map from *(key, revision descending)* to locators.

      "RNDLTIDX" | format u32 | block size u32 | store id, 16 | contents offset u64 |
      contents size u64 | zeros | CRC32C                                       (64 bytes)
      sections, each at a multiple of 64:
        directory      u32 per bucket: where its part of the table starts; one more at the end
        table          u64 per distinct key: tag and first row, ascending
        rows           32 bytes per version (``columns.ROW_DTYPE``); one more at the end
        keys           the bytes of the keys
        expiry_rows    u32, and
        expiry_times   u64 (µs) of the rows that expire
        blocks         u32 per 64 KiB of this file before this section: its CRC32C
      contents: CBOR map (offset and size of each section, counts, content types) | CRC32C

All processes map the same file. A process verifies each block when it first touches it, so that
opening does not read the file, and damage is an error, not a key that seems to be missing.
"""

from __future__ import annotations

import struct
from bisect import bisect_left
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import cbor2
import numpy as np
import numpy.typing as npt
from xxhash import xxh3_64_intdigest

from rundlet_server.storage.checksum import checksum
from rundlet_server.storage.errors import Damaged
from rundlet_server.storage.files import Files
from rundlet_server.storage.log.format.locator import Locator
from rundlet_server.storage.log.format.record import OVERHEAD
from rundlet_server.storage.log.index.columns import (
    EXPIRES,
    KIND_MASK,
    OLDER,
    ROW_BITS,
    ROW_DTYPE,
    TAG_SHIFT,
    Columns,
    Flags,
    Places,
    Rows,
    Words,
)
from rundlet_server.storage.log.index.contents import (
    BLOCK_BITS,
    BLOCK_SIZE,
    HEADER_SIZE,
    read_contents,
    require_sizes,
)
from rundlet_server.storage.log.index.expiry import ExpiryOrder
from rundlet_server.storage.log.index.meta_sizes import META_SHIFT

_ROW: Final = struct.Struct("<QQIIIHBB16xI")
"""A row, and the field of the next one that says where this one's key ends."""
_KEY: Final = struct.Struct("<16xI28xI")  # where the key of a row begins and ends
_PLACE: Final = struct.Struct("<QQ4xI6xBx")  # the fields that ``newest`` returns
_REVISION: Final = 0
_KEY_START: Final = 2
_SIZE: Final = 3
_FLAGS: Final = 6
_KEY_END: Final = 8
_FLAGS_MAX: Final = (1 << META_SHIFT) - 1
_NO_ROW: Final = (0,) * 9
_ROW_MASK: Final = (1 << ROW_BITS) - 1

Place = tuple[int, int, int, int]
_Fields = tuple[int, int, int, int, int, int, int, int, int]


class IndexFile:
    """An open index file. All methods may be called from any thread, without a lock."""

    def __init__(self, files: Files, path: Path, number: int, size: int) -> None:
        """Map the file.

        Args:
            files: the file system.
            path: of the file.
            number: its number.
            size: the size that the manifest names.

        Raises:
            FileNotFoundError: a merge has replaced the file.
            UnknownFormat: the file has another format version.
            Damaged: the file is not what was written.
        """
        self.path = path
        self.number = number
        file = files.open(path, writable=False)
        try:
            if file.size() != size or size < HEADER_SIZE:
                reason = f"the file has {file.size()} bytes, and {size} by the manifest"
                raise Damaged(path, 0, reason)
            self._map = file.map(size)
        finally:
            file.close()
        self._bytes = memoryview(self._map)
        self.store_id, contents = read_contents(self._bytes, path)
        try:
            self._open_sections(contents)
        except (cbor2.CBORDecodeError, LookupError, TypeError, ValueError, AttributeError) as ex:
            raise Damaged(path, 0, f"the contents cannot be decoded: {ex!r}") from ex

    def _open_sections(self, contents: bytes) -> None:
        fields = cbor2.loads(contents)
        self.row_count: int = fields["row_count"]
        self.key_count: int = fields["key_count"]
        self.types: tuple[str, ...] = tuple(fields["types"])
        self.type_names = np.array([*self.types, ""], np.object_)
        self.about: dict[str, int] = fields.get("about", {})
        places: dict[str, tuple[int, int]] = fields["sections"]
        self._places = places
        self._directory_place = places["directory"][0]
        self._table_place = places["table"][0]
        self._rows_place = places["rows"][0]
        self._keys_place = places["keys"][0]
        self._directory = self._section("directory").cast("I")
        self._table = self._section("table").cast("Q")
        self._blocks = self._section("blocks").cast("I")
        self._expiry_rows = self._section("expiry_rows").cast("I")
        self._expiry_times = self._section("expiry_times").cast("Q")
        self._expiry_order = ExpiryOrder()
        self._tag_shift = 32 - (len(self._directory) - 1).bit_length() + 1
        self._is_block_verified = bytearray(len(self._blocks))
        self._is_verified = False
        self._bound = (b"", 0)
        require_sizes(places, self.row_count, self.key_count, len(self._bytes))

    @property
    def key_bytes(self) -> int:
        """The number of bytes of the keys of all rows."""
        return self._places["keys"][1]

    def newest(self, key: bytes) -> Place | None:
        """Return revision, position, size and flags of the newest version of a key.

        It compares only the hashes of keys, so once in four billion times the version is another
        key's. The record itself has the key.

        Raises:
            Damaged: a part of the file that was needed is damaged.
        """
        if not self._is_verified:
            found = self._first_row(key)
            return None if found is None else (*found[1][:2], found[1][_SIZE], found[1][_FLAGS])
        tag = xxh3_64_intdigest(key) >> 32
        bucket = tag >> self._tag_shift
        end = self._directory[bucket + 1]
        at = bisect_left(self._table, tag << ROW_BITS, self._directory[bucket], end)
        if at == end or (word := self._table[at]) >> ROW_BITS != tag:
            return None
        row = self._rows_place + (word & _ROW_MASK) * ROW_DTYPE.itemsize
        return _PLACE.unpack_from(self._bytes, row)

    def find(self, key: bytes, at: int | None) -> Locator | None:
        """Return the newest version of a key, or the newest of revision ``at`` or before.

        Raises:
            Damaged: a part of the file that was needed is damaged.
        """
        found = self._first_row(key)
        if found is None:
            return None
        row, fields = found
        if at is None or fields[_REVISION] <= at:
            return self._locator(row, fields, len(key))
        return self._version_at(row, fields, at, len(key))

    def _version_at(
        self, row: int, fields: _Fields, at: int | None, key_size: int
    ) -> Locator | None:
        """Return the version at revision ``at`` of the key whose first row this is.

        That is the newest version of revision ``at`` or before.
        """
        if at is not None:
            while fields[_REVISION] > at:
                row += 1
                fields = self._row(row) if row < self.row_count else _NO_ROW
                if not fields[_FLAGS] & OLDER:
                    return None
        return self._locator(row, fields, key_size)

    def has_tags(self, tags: Places) -> Flags:
        """Return for each of many tags, ascending, whether the file may have a key with it.

        Raises:
            Damaged: the hash table is damaged.
        """
        self._verify(*self._places["table"])
        known = (np.frombuffer(self._table, np.uint64) >> TAG_SHIFT).astype(np.int64)
        places = np.searchsorted(known, tags)
        has: Flags = np.append(known, -1)[places] == tags
        return has

    def versions(self, key: bytes) -> Iterator[Locator]:
        """Yield all versions of a key, newest first."""
        found = self._first_row(key)
        if found is None:
            return
        row, fields = found
        while True:
            yield self._locator(row, fields, len(key))
            row += 1
            fields = self._row(row) if row < self.row_count else _NO_ROW
            if not fields[_FLAGS] & OLDER:
                return

    def _locator(self, row: int, fields: _Fields, key_size: int) -> Locator:
        """Return the locator in a row; the content type is empty if only the record has it."""
        revision, position, _, size, version, type_number, flags, meta_size, _ = fields
        if flags > _FLAGS_MAX:  # in nearly all rows, the unit is one byte
            meta_size <<= flags >> META_SHIFT
        types = self.types
        return Locator(
            revision,
            position,
            size,
            size - OVERHEAD - key_size - meta_size,
            version,
            flags & KIND_MASK,
            types[type_number] if type_number < len(types) else "",
            self._expires_us(row) if flags & EXPIRES else 0,
        )

    def key(self, row: int) -> bytes:
        """Return the key of a row."""
        place = self._rows_place + row * ROW_DTYPE.itemsize
        if not self._is_verified:
            self._verify(place, _ROW.size)
        return self._key_bytes(*_KEY.unpack_from(self._bytes, place))

    def lower_bound(self, key: bytes) -> int:
        """Return the first row whose key is ``key`` or above; ``row_count`` if there is none."""
        known, row = self._bound  # a list looks for the same key more than once
        if known != key:
            row = bisect_left(range(self.row_count), key, key=self.key)
            self._bound = key, row
        return row

    def scan(self, key: bytes, at: int | None, *, reverse: bool) -> Iterator[tuple[bytes, Locator]]:
        """Yield keys from ``key`` on, in reverse those below it, with what ``find`` returns."""
        start = self.lower_bound(key)
        rows = range(start - 1, -1, -1) if reverse else range(start, self.row_count)
        for row in rows:
            fields = self._row(row)
            if fields[_FLAGS] & OLDER:
                continue
            found = self._key_bytes(fields[_KEY_START], fields[_KEY_END])
            locator = self._version_at(row, fields, at, len(found))
            if locator is not None:
                yield found, locator

    def block(self, start: int, end: int) -> tuple[Rows, bytes, Words]:
        """Return rows from number ``start`` to ``end`` and one more, their keys and expiries.

        The expiries are in microseconds since the epoch, 0 for never.
        """
        place = self._rows_place + start * ROW_DTYPE.itemsize
        self._verify(place, (end + 1 - start) * ROW_DTYPE.itemsize)
        rows = np.frombuffer(self._bytes, ROW_DTYPE, end + 1 - start, place)
        first_key, keys_end = rows["key_offset"][[0, -1]].tolist()
        expires_us = np.zeros(end - start, np.uint64)
        if (rows["flags"] & EXPIRES).any():
            first, last = self._expiry_place(start), self._expiry_place(end)
            self._verify(self._places["expiry_times"][0] + 8 * first, 8 * (last - first))
            expiring = np.asarray(self._expiry_rows[first:last]) - start
            expires_us[expiring] = self._expiry_times[first:last]
        return rows, self._key_bytes(first_key, keys_end), expires_us

    def expiring(self, after_us: int, through_us: int) -> Iterator[tuple[bytes, int]]:
        """Yield key and revision of rows whose expiry lies in (``after_us``, ``through_us``]."""
        for row in self.expiring_rows(after_us, through_us).tolist():
            fields = self._row(row)
            yield self._key_bytes(fields[_KEY_START], fields[_KEY_END]), fields[_REVISION]

    def expiring_rows(self, after_us: int, through_us: int) -> npt.NDArray[np.uint32]:
        """Return the rows whose expiry lies in (``after_us``, ``through_us``]."""
        return self._expiry_order.rows_between(after_us, through_us, self._expiry)

    def columns(self) -> Columns:
        """Return the whole index as numpy columns over the mapped file, verified.

        Raises:
            Damaged: any block is damaged.
        """
        self.verify()
        expiry_rows, expiry_times = self._expiry()
        return Columns(
            np.frombuffer(self._section("rows"), ROW_DTYPE),
            np.frombuffer(self._section("keys"), np.uint8),
            np.frombuffer(self._section("table"), np.uint64),
            self.types,
            expiry_rows,
            expiry_times,
        )

    def verify(self, should_stop: Callable[[], bool] = lambda: False) -> None:
        """Verify every block that is not verified yet; reads after that skip the checks.

        Args:
            should_stop: called after every block; true leaves the rest for later.

        Raises:
            Damaged: a block is damaged.
        """
        if self._is_verified:
            return
        for block in range(len(self._blocks)):
            if not self._is_block_verified[block]:
                self._verify(block << BLOCK_BITS, 1)
                if should_stop():
                    return
        self._is_verified = True

    def damage(self) -> Iterator[Damaged]:
        """Yield every damaged block, as the error that reading it raises."""
        for block in range(len(self._blocks)):
            try:
                self._verify(block << BLOCK_BITS, 1)
            except Damaged as ex:
                yield ex

    def _first_row(self, key: bytes) -> tuple[int, _Fields] | None:
        """Return number and fields of a key's newest row; ``None`` if the key is not here."""
        tag = xxh3_64_intdigest(key) >> 32
        bucket = tag >> self._tag_shift
        self._verify(self._directory_place + 4 * bucket, 8)
        table, at, end = self._table, self._directory[bucket], self._directory[bucket + 1]
        if at < end and not self._is_verified:
            self._verify(self._table_place + 8 * at, 8 * (end - at))
        at = bisect_left(table, tag << ROW_BITS, at, end)
        while at < end and (word := table[at]) >> ROW_BITS == tag:
            fields = self._row(word & _ROW_MASK)
            if self._key_bytes(fields[_KEY_START], fields[_KEY_END]) == key:
                return word & _ROW_MASK, fields
            at += 1
        return None

    def _row(self, row: int) -> _Fields:
        """Return the fields of a row, and where the key of the next row starts."""
        place = self._rows_place + row * ROW_DTYPE.itemsize
        if not self._is_verified:
            self._verify(place, _ROW.size)
        return _ROW.unpack_from(self._bytes, place)

    def _key_bytes(self, start: int, end: int) -> bytes:
        place = self._keys_place
        if not self._is_verified:
            self._verify(place + start, end - start)
        return self._map[place + start : place + end]

    def _expiry(self) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.uint64]]:
        for name in ("expiry_rows", "expiry_times"):
            offset, size = self._places[name]
            self._verify(offset, max(size, 1))
        return (
            np.frombuffer(self._section("expiry_rows"), np.uint32),
            np.frombuffer(self._section("expiry_times"), np.uint64),
        )

    def _expires_us(self, row: int) -> int:
        """Return when a row expires, by a binary search that touches a few blocks."""
        place = self._expiry_place(row)
        self._verify(self._places["expiry_times"][0] + 8 * place, 8)
        return self._expiry_times[place]

    def _expiry_place(self, row: int) -> int:
        """Return the place, among the rows that expire, of the first one from ``row`` on."""
        if self._is_verified:
            return bisect_left(self._expiry_rows, row)
        return bisect_left(range(len(self._expiry_rows)), row, key=self._expiry_row)

    def _expiry_row(self, place: int) -> int:
        self._verify(self._places["expiry_rows"][0] + 4 * place, 4)
        return self._expiry_rows[place]

    def _section(self, name: str) -> memoryview:
        offset, size = self._places[name]
        return self._bytes[offset : offset + size]

    def _verify(self, offset: int, size: int) -> None:
        """Check the blocks that hold these bytes, each once."""
        if self._is_verified:
            return
        for block in range(offset >> BLOCK_BITS, (offset + size - 1 >> BLOCK_BITS) + 1):
            if block >= len(self._blocks) or self._is_block_verified[block]:
                continue
            start = block << BLOCK_BITS
            end = min(start + BLOCK_SIZE, self._places["blocks"][0])
            if checksum(self._bytes[start:end]) != self._blocks[block]:
                raise Damaged(self.path, start, "the checksum of the index block does not match")
            self._is_block_verified[block] = 1
