"""Read the header and the contents of an index file; ``file`` describes the format."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from itertools import chain
from pathlib import Path
from typing import Final

from rundlet_server.storage.checksum import CHECKSUM_SIZE, is_whole
from rundlet_server.storage.errors import Damaged, UnknownFormat
from rundlet_server.storage.log.index.columns import ROW_DTYPE

MAGIC: Final = b"RNDLTIDX"
FORMAT_VERSION: Final = 2
"""In format 1, all sizes of meta maps are in bytes; an index with no others is still in format
1."""
WITHOUT_UNITS: Final = 1
BLOCK_BITS: Final = 16
BLOCK_SIZE: Final = 1 << BLOCK_BITS

HEADER: Final = struct.Struct("<8sII16sQQ12x")
HEADER_SIZE: Final = HEADER.size + CHECKSUM_SIZE


def read_contents(data: memoryview, path: Path) -> tuple[bytes, bytes]:
    """Return the id of the store, and the encoded map of the sections, verified.

    Args:
        data: the whole file.
        path: of the file.

    Raises:
        UnknownFormat: the file has another format version.
        Damaged: the header or the contents are not what was written.
    """
    header = data[:HEADER_SIZE]
    if not is_whole(header):
        raise Damaged(path, 0, "the checksum of the header does not match")
    magic, version, _, store_id, offset, size = HEADER.unpack_from(header)
    if magic != MAGIC or version not in (FORMAT_VERSION, WITHOUT_UNITS):
        raise UnknownFormat(f"{path}: this release does not know index format {magic!r} {version}")
    contents = data[offset : offset + size]
    if len(contents) != size or not is_whole(contents):
        raise Damaged(path, offset, "the checksum of the contents does not match")
    return store_id, bytes(contents[:-CHECKSUM_SIZE])


def require_sizes(
    places: Mapping[str, tuple[int, int]], row_count: int, key_count: int, file_size: int
) -> None:
    """Raise a ``ValueError`` if the sections cannot hold so many rows and keys.

    Args:
        places: offset and size of each section.
        row_count: by the contents.
        key_count: by the contents.
        file_size: of the whole file.
    """
    numbers = [row_count, key_count, *chain.from_iterable(places.values())]
    if any(not isinstance(number, int) or number < 0 for number in numbers):
        raise ValueError("a place or a count is not a number from 0 on")
    sizes = {name: size for name, (_, size) in places.items()}
    end, blocks_size = places["blocks"]
    ends = [offset + size for name, (offset, size) in places.items() if name != "blocks"]
    bucket_count = sizes["directory"] // 4 - 1
    are_possible = (
        max(ends) <= end
        and end + blocks_size <= file_size
        and blocks_size == 4 * -(-end // BLOCK_SIZE)
        and sizes["rows"] == (row_count + 1) * ROW_DTYPE.itemsize
        and sizes["table"] == 8 * key_count
        and bucket_count > 0
        and bucket_count.bit_count() == 1
        and sizes["expiry_times"] == 2 * sizes["expiry_rows"]
    )
    if not are_possible:
        raise ValueError("the sections have the wrong sizes for so many rows and keys")
