"""The start of an index file and what its contents say; ``file`` describes the format."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Final

from rundlet_server.storage.checksum import CHECKSUM_SIZE, is_whole
from rundlet_server.storage.errors import Damaged, UnknownFormat

MAGIC: Final = b"RNDLTIDX"
FORMAT_VERSION: Final = 2
"""In format 1, all sizes of meta maps are in bytes; an index of no others is still of that."""
WITHOUT_UNITS: Final = 1

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
