r"""A times file: the commits of one sealed segment, immutable, beside the segment.

      0            8         12      16         24      28      32          32 + 8 n   32 + 16 n
      ┌────────────┬─────────┬───────┬──────────┬───────┬───────┬───────────┬──────────┬─────────┬───────┐
      │ "RNDLTTIM" │ format  │ count │ segment  │ salt  │ zeros │ revisions │ times    │ offsets │ CRC   │
      │            │ u32     │ n u32 │ number   │ u32   │       │ u64 each  │ µs, u64  │ / 8     │ 32C   │
      │            │         │       │ u64      │       │       │           │ each     │ u32     │       │
      └────────────┴─────────┴───────┴──────────┴───────┴───────┴───────────┴──────────┴─────────┴───────┘

The file can be made again from its segment, which has the same number and salt. So no manifest
names the file, and if it is missing or damaged, the segment is read instead.
"""  # noqa: E501 # the drawing is as wide as it is

from __future__ import annotations

import struct
from array import array
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from rundlet_server.storage.checksum import CHECKSUM_SIZE, is_whole, seal
from rundlet_server.storage.errors import Damaged, UnknownFormat
from rundlet_server.storage.files import Files
from rundlet_server.storage.log.format.commit_times import CommitTimes
from rundlet_server.storage.log.format.names import times_name
from rundlet_server.storage.log.format.segment import SegmentHeader

MAGIC: Final = b"RNDLTTIM"
FORMAT_VERSION: Final = 1
HEADER: Final = struct.Struct("<8sIIQI4x")
_COMMIT_SIZE: Final = 8 + 8 + 4


def write_times(files: Files, folder: Path, header: SegmentHeader, times: CommitTimes) -> None:
    """Write the times file of a segment and sync it; durable once the folder is synced."""
    count = len(times)
    data = HEADER.pack(MAGIC, FORMAT_VERSION, count, header.number, header.salt)
    data += array("Q", times.revisions).tobytes()
    data += array("Q", times.times_us).tobytes()
    data += array("I", times.units).tobytes()
    path = folder / times_name(header.number)
    files.unlink(path)
    file = files.open(path, create=True)
    try:
        file.pwrite([seal(data)], 0)
        file.sync()
    finally:
        file.close()


def read_times(files: Files, folder: Path, header: SegmentHeader) -> CommitTimes:
    """Map the times file of a segment, verified.

    Raises:
        FileNotFoundError: there is none.
        UnknownFormat: the file has another format version.
        Damaged: the file is not what was written for this segment.
    """
    path = folder / times_name(header.number)
    file = files.open(path, writable=False)
    try:
        size = file.size()
        if size < HEADER.size + CHECKSUM_SIZE:
            raise Damaged(path, 0, "the file is too short")
        data = memoryview(file.map(size))
    finally:
        file.close()
    if not is_whole(data):
        raise Damaged(path, 0, "the checksum of the file does not match")
    magic, version, count, number, salt = HEADER.unpack_from(data)
    if magic != MAGIC or version != FORMAT_VERSION:
        raise UnknownFormat(f"{path}: this release does not know times format {magic!r} {version}")
    if size != HEADER.size + count * _COMMIT_SIZE + CHECKSUM_SIZE:
        raise Damaged(path, 0, "the size of the file does not fit the number of commits")
    if (number, salt) != (header.number, header.salt):
        raise Damaged(path, 0, "this is the file of another segment")
    return CommitTimes(*_columns(data[HEADER.size : -CHECKSUM_SIZE], count))


def _columns(data: memoryview, count: int) -> tuple[Sequence[int], Sequence[int], Sequence[int]]:
    first, second = 8 * count, 16 * count
    return data[:first].cast("Q"), data[first:second].cast("Q"), data[second:].cast("I")
