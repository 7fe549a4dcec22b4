"""CRC32C (Castagnoli) at the end of everything that is written.

A sealed piece of bytes ends with the checksum of all bytes before it, little-endian. Then the
checksum of the whole piece, its own checksum included, is a constant, whatever the seed: one call
over the bytes as they were read verifies them, without slicing.
"""

from __future__ import annotations

from typing import Final, Protocol

from crc32c import crc32c

from rundlet_server.storage.files import Buffer

CHECKSUM_SIZE = 4
RESIDUE = 0x48674BC7
"""Checksum of any piece that ends with its own checksum."""


class _Checksum(Protocol):
    def __call__(self, data: Buffer, seed: int = 0, /) -> int: ...


checksum: Final[_Checksum] = crc32c
"""The checksum of some bytes; a seed continues an earlier checksum."""


def seal(data: bytes, seed: int = 0) -> bytes:
    """Return ``data`` followed by its checksum."""
    return data + checksum(data, seed).to_bytes(CHECKSUM_SIZE, "little")


def is_whole(sealed: Buffer, seed: int = 0) -> bool:
    """Return whether a sealed piece is as it was written."""
    return checksum(sealed, seed) == RESIDUE
