"""CRC32C (Castagnoli) at the end of everything that is written.

A sealed piece of bytes ends with the checksum of all bytes before it, little-endian. Then the
checksum of the whole piece, its own checksum included, is a constant, whatever the seed: one
call over the bytes as they were read verifies them, without slicing.
"""

from __future__ import annotations

from crc32c import crc32c as _crc32c

from storage.files import Buffer

CHECKSUM_SIZE = 4
RESIDUE = 0x48674BC7
"""Checksum of any piece that ends with its own checksum."""


def checksum(data: Buffer, seed: int = 0) -> int:
    """Checksum of ``data``; ``seed`` continues an earlier checksum."""
    return _crc32c(data, seed)


def seal(data: bytes, seed: int = 0) -> bytes:
    """``data`` followed by its checksum."""
    return data + checksum(data, seed).to_bytes(CHECKSUM_SIZE, "little")


def is_whole(sealed: Buffer, seed: int = 0) -> bool:
    """Whether a sealed piece is as it was written."""
    return checksum(sealed, seed) == RESIDUE
