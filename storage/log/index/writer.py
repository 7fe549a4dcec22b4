"""Write index files; ``index.file`` describes the format and reads it."""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import cbor2
import numpy as np
import numpy.typing as npt

from rundlet_server.storage.checksum import checksum, seal
from rundlet_server.storage.files import Buffer, Files
from rundlet_server.storage.log.index.columns import TAG_SHIFT, Columns
from rundlet_server.storage.log.index.contents import (
    BLOCK_SIZE,
    FORMAT_VERSION,
    HEADER,
    HEADER_SIZE,
    MAGIC,
    WITHOUT_UNITS,
)
from rundlet_server.storage.log.index.meta_sizes import META_SHIFT

_SECTION_ALIGNMENT: Final = 64
_KEYS_PER_BUCKET: Final = 4


def write_index(
    files: Files,
    path: Path,
    store_id: bytes,
    columns: Columns,
    about: Mapping[str, int] | None = None,
) -> int:
    """Write a new index file, sync it, and return its size; durable once the folder is synced.

    Args:
        files: the file system.
        path: of the file; an existing one is replaced.
        store_id: 16 bytes.
        columns: the index.
        about: numbers for ``IndexFile.about``; the log store needs none.
    """
    sections: dict[str, npt.NDArray[np.generic]] = {
        "directory": _directory(columns.table),
        "table": columns.table,
        "rows": columns.rows,
        "keys": columns.keys,
        "expiry_rows": columns.expiry_rows,
        "expiry_times": columns.expiry_times_us,
    }
    places: dict[str, tuple[int, int]] = {}
    pieces: list[Buffer] = [bytes(HEADER_SIZE)]
    offset = HEADER_SIZE
    for name, column in sections.items():
        places[name] = (offset, column.nbytes)
        padding = -column.nbytes % _SECTION_ALIGNMENT
        pieces += [column.view(np.uint8).data, bytes(padding)]
        offset += column.nbytes + padding
    blocks_offset = offset
    block_count = -(-blocks_offset // BLOCK_SIZE)
    places["blocks"] = (blocks_offset, 4 * block_count)
    fields: dict[str, object] = {
        "sections": places,
        "row_count": columns.row_count,
        "key_count": len(columns.table),
        "types": columns.types,
    }
    if about:
        fields["about"] = dict(about)
    contents = seal(cbor2.dumps(fields))
    contents_offset = blocks_offset + 4 * block_count
    has_units = bool((columns.rows["flags"] >> META_SHIFT).any())
    version = FORMAT_VERSION if has_units else WITHOUT_UNITS
    header = HEADER.pack(MAGIC, version, BLOCK_SIZE, store_id, contents_offset, len(contents))
    pieces[0] = seal(header)
    pieces += [_block_checksums(pieces), contents]
    files.unlink(path)
    file = files.open(path, create=True)
    try:
        file.pwrite(pieces, 0)
        file.sync()
    finally:
        file.close()
    return contents_offset + len(contents)


def _block_checksums(pieces: Sequence[Buffer]) -> bytes:
    """Return the checksum of each block of the pieces joined."""
    checksums = array("I")
    crc, left = 0, BLOCK_SIZE
    for piece in (memoryview(piece) for piece in pieces):
        start = 0
        while start < len(piece):
            part = piece[start : start + left]
            crc = checksum(part, crc)
            start += len(part)
            left -= len(part)
            if not left:
                checksums.append(crc)
                crc, left = 0, BLOCK_SIZE
    if left < BLOCK_SIZE:
        checksums.append(crc)
    return checksums.tobytes()


def _directory(table: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint32]:
    """Return where in the table each range of tags starts; ranges are equal powers of two."""
    bits = max(0, (len(table) // _KEYS_PER_BUCKET).bit_length() - 1)
    starts = np.arange((1 << bits) + 1, dtype=np.uint64) << np.uint64(32 - bits)
    found = np.searchsorted(table >> TAG_SHIFT, starts, side="left")
    return found.astype(np.uint32)
