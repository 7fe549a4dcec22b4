r"""A segment: one file of the log. Appended to while active, then sealed and immutable.

      0            8         12       16           24         40      44        60     64
      ┌────────────┬─────────┬────────┬────────────┬──────────┬───────┬─────────┬──────┬────────
      │ "RNDLTSEG" │ format  │ origin │ number     │ store id │ salt  │ zeros   │ CRC  │ frames
      │            │ u32     │ u32    │ u64        │ 16 bytes │ u32   │ 16      │ 32C  │ ...
      └────────────┴─────────┴────────┴────────────┴──────────┴───────┴─────────┴──────┴────────

``origin`` distinguishes the segments that commits were appended to (1) from segments of copies (2),
which compaction writes, or a writer after a failed sync. The salt is random, so that no two
segments accept each other's frames.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from rundlet_server.storage.bounds import LARGE_VALUE_BYTES
from rundlet_server.storage.checksum import CHECKSUM_SIZE, RESIDUE, checksum, is_whole, seal
from rundlet_server.storage.errors import Damaged, UnknownFormat
from rundlet_server.storage.files import Buffer, File, Files
from rundlet_server.storage.interface import Entry
from rundlet_server.storage.large_values import LargeValue
from rundlet_server.storage.log.format import frame as frames
from rundlet_server.storage.log.format import record as records
from rundlet_server.storage.log.format.commit_times import CommitTimes, commits_of
from rundlet_server.storage.log.format.frame import BadFrame, Frame
from rundlet_server.storage.log.format.locator import OFFSET_MAX, Locator, offset_of
from rundlet_server.storage.log.format.names import segment_name
from rundlet_server.storage.log.format.pieces import Pieces, Place
from rundlet_server.storage.log.format.record import BadRecord, Record
from rundlet_server.storage.metadata import Metadata

MAGIC: Final = b"RNDLTSEG"
FORMAT_VERSION: Final = 1
APPENDED: Final = 1
COMPACTED: Final = 2

_HEADER: Final = struct.Struct("<8sIIQ16sI16x")
HEADER_SIZE: Final = _HEADER.size + CHECKSUM_SIZE

_READ_SIZE: Final = 4 * 1024 * 1024
"""Bytes read at a time while scanning."""
_LARGE_RECORD: Final = 256 * 1024
"""Records above this are read in two pieces so that their value is never copied."""


class SegmentHeader(NamedTuple):
    """The first 64 bytes of a segment."""

    origin: int
    number: int
    store_id: bytes
    salt: int

    @classmethod
    def with_new_salt(cls, origin: int, number: int, store_id: bytes) -> SegmentHeader:
        """Return the header of a new segment, with a salt that no other segment has."""
        return cls(origin, number, store_id, int.from_bytes(os.urandom(4), "little"))


def encode_header(header: SegmentHeader) -> bytes:
    """Return the 64 bytes at the start of a segment."""
    return seal(_HEADER.pack(MAGIC, FORMAT_VERSION, *header))


def decode_header(data: bytes, path: Path) -> SegmentHeader:
    """Read and check the start of a segment.

    Raises:
        UnknownFormat: another magic, or a format version that this release does not know.
        Damaged: the header is too short, or its checksum does not match.
    """
    if len(data) < HEADER_SIZE:
        raise Damaged(path, 0, "the segment header is incomplete")
    magic, version, origin, number, store_id, salt = _HEADER.unpack_from(data)
    if is_whole(data):
        if magic != MAGIC or version != FORMAT_VERSION:
            raise UnknownFormat(
                f"{path}: this release does not know segment format {magic!r} {version}"
            )
        return SegmentHeader(origin, number, store_id, salt)
    raise Damaged(path, 0, "the checksum of the segment header does not match")


class Segment:
    """An open segment file. Reading needs no lock; only the holder of the store's lock writes."""

    def __init__(self, path: Path, file: File, header: SegmentHeader) -> None:
        self.path = path
        self.file = file
        self.number = header.number
        self.header = header

    @classmethod
    def create(cls, files: Files, folder: Path, header: SegmentHeader) -> Segment:
        """Make a new, empty segment; durable once the folder is synced too."""
        path = folder / segment_name(header.number)
        files.unlink(path)  # an orphan: a crash came before a manifest named it
        file = files.open(path, create=True)
        try:
            file.pwrite([encode_header(header)], 0)
            file.sync()
        except BaseException:
            file.close()
            raise
        return cls(path, file, header)

    @classmethod
    def open(cls, files: Files, folder: Path, number: int, *, writable: bool = True) -> Segment:
        """Open an existing segment.

        Raises:
            FileNotFoundError: compaction has moved its records elsewhere.
            UnknownFormat, Damaged: see ``decode_header``.
        """
        path = folder / segment_name(number)
        file = files.open(path, writable=writable)
        try:
            header = decode_header(file.pread(HEADER_SIZE, 0), path)
            if header.number != number:
                raise Damaged(path, 0, f"this is segment {header.number} under another name")
        except BaseException:
            file.close()
            raise
        return cls(path, file, header)

    def read_entry(self, key: str, encoded: bytes, locator: Locator) -> Entry:
        """Return the value at a locator, verified: checksum, key and revision.

        Raises:
            Damaged: the bytes are not that record.
        """
        if locator.size > _LARGE_RECORD:
            return records.to_entry(key, self._read_large(encoded, locator))
        offset = locator.position & OFFSET_MAX
        data = self.file.pread(locator.size, offset)
        try:
            return records.decode_entry(data, key, encoded, locator.revision)
        except BadRecord as ex:
            raise Damaged(self.path, offset, str(ex)) from ex

    def peek(self, key: str, encoded: bytes, locator: Locator) -> Entry | LargeValue:
        """Return the value at a locator as ``read_entry`` does, but a large one without its bytes.

        Raises:
            Damaged: the bytes are not that record, as far as they are read.
        """
        if locator.value_size <= LARGE_VALUE_BYTES:
            return self.read_entry(key, encoded, locator)
        offset = offset_of(locator.position)
        head = self._read_head(locator)
        record = self._decode_head(head, encoded, locator)
        if (record.version, record.expires_us) != (locator.version, locator.expires_us):
            raise Damaged(self.path, offset, "the record is not as the index says")
        size = locator.value_size
        place = Place(
            *(self.file, self.path, offset + len(head), size),
            before=checksum(head),
            size_behind=CHECKSUM_SIZE,
            whole=RESIDUE,
        )
        about = (record.revision, record.version, record.time_us, record.content_type)
        pieces = Pieces(place)
        return LargeValue(key, pieces, size, *about, record.expires_us or None, record.metadata)

    def read(self, key: bytes, locator: Locator) -> Record:
        """Return the record at a locator, verified: checksum, key and revision.

        Raises:
            Damaged: the bytes are not that record.
        """
        offset = offset_of(locator.position)
        if locator.size > _LARGE_RECORD:
            return self._read_large(key, locator)
        data = self.file.pread(locator.size, offset)
        try:
            record = records.decode(data)
        except BadRecord as ex:
            raise Damaged(self.path, offset, str(ex)) from ex
        if record.key != key or record.revision != locator.revision:
            raise Damaged(self.path, offset, "this is the record of another key or revision")
        return record

    def read_metadata(self, key: bytes, locator: Locator) -> Metadata:
        """Return the metadata of the value at a locator, verified; the value is not read.

        Raises:
            Damaged: the bytes are not that record, as far as they are read.
        """
        return self._decode_head(self._read_head(locator), key, locator).metadata

    def _read_large(self, key: bytes, locator: Locator) -> Record:
        """Do as ``read`` does, but read the value straight into the bytes to be returned."""
        offset = offset_of(locator.position)
        head = self._read_head(locator)
        value = self.file.pread(locator.value_size, offset + len(head))
        tail = self.file.pread(CHECKSUM_SIZE, offset + len(head) + locator.value_size)
        if checksum(tail, checksum(value, checksum(head))) != RESIDUE:
            raise Damaged(self.path, offset, "the checksum of the record does not match")
        return self._decode_head(head, key, locator)._replace(value=value)

    def _read_head(self, locator: Locator) -> bytes:
        """Return the bytes before the value in a record."""
        size = locator.size - locator.value_size - CHECKSUM_SIZE
        return self.file.pread(size, offset_of(locator.position))

    def _decode_head(self, head: bytes, key: bytes, locator: Locator) -> Record:
        """Return the record at a locator without its value."""
        offset = offset_of(locator.position)
        if len(head) < records.HEADER.size + len(key):
            raise Damaged(self.path, offset, "the file ends within the record")
        _, _, _, version, kind, code, _, revision, time_us = records.HEADER.unpack_from(head)
        key_end = records.HEADER.size + len(key)
        if head[records.HEADER.size : key_end] != key or revision != locator.revision:
            raise Damaged(self.path, offset, "this is the record of another key or revision")
        try:
            about = records.decode_meta(code, head[key_end:])
        except BadRecord as ex:
            raise Damaged(self.path, offset, str(ex)) from ex
        return Record(key, b"", kind, revision, version, time_us, *about)

    def frames(self, start: int, end: int, *, read_size: int = _READ_SIZE) -> Iterator[Frame]:
        """Yield the frames from offset ``start`` to ``end``, each verified.

        Args:
            start: where a frame starts.
            end: where that frame or a later one ends.
            read_size: bytes to read at a time.

        Raises:
            Damaged: the frames do not fill the range; ``offset`` is where the first bad one starts.
        """
        offset = start
        window = memoryview(b"")
        while offset < end:
            try:
                frame = frames.decode(window, offset, self.header.salt)
            except BadFrame:  # most often because the window ends within it
                window = memoryview(self.read_frames(offset, end, read_size))
                frame = self._decode(window, offset)
            yield frame
            offset += frame.size
            window = window[frame.size :]

    def _decode(self, window: memoryview, offset: int) -> Frame:
        try:
            return frames.decode(window, offset, self.header.salt)
        except BadFrame as ex:
            raise Damaged(self.path, offset, str(ex)) from ex

    def read_frames(self, offset: int, end: int, read_size: int) -> bytes:
        """Return many bytes from ``offset`` on, at least the frame there if ``end`` allows it."""
        data = self.file.pread(min(read_size, end - offset), offset)
        if len(data) < frames.HEADER.size:
            return data
        wanted = frames.HEADER.unpack_from(data)[0]
        if len(data) < wanted <= end - offset:
            data = self.file.pread(wanted, offset)
        return data

    def append(self, buffers: list[Buffer], offset: int) -> None:
        """Write at the end that the caller tracks (never ``O_APPEND``: bytes may be behind it)."""
        self.file.pwrite(buffers, offset)


def read_commits(segment: Segment, end: int) -> CommitTimes:
    """Return the commits in a segment up to offset ``end``, read from its frames.

    Raises:
        Damaged: they are not what was written.
    """
    times = CommitTimes()
    is_appended = segment.header.origin == APPENDED
    for frame in segment.frames(HEADER_SIZE, end):
        try:
            times.add(commits_of(frame, is_appended=is_appended))
        except BadFrame as ex:
            raise Damaged(segment.path, frame.offset, str(ex)) from ex
    return times
