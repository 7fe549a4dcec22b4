"""Compress and decompress streams with gzip, in bounded memory and linear time."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator
from typing import Final

_GZIP: Final = 16 + zlib.MAX_WBITS
_LEVEL: Final = 4
_IN_BYTES: Final = 16 * 1024
_OUT_BYTES: Final = 256 * 1024
_MEMBERS_FREE: Final = 1_000
_MEMBER_BYTES: Final = 1_024


class BadGzip(ValueError):
    """The data is not gzip, or is not complete; the message is a clause."""


def compressed(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the pieces compressed; if ``pieces`` raises, the trailer of gzip is missing."""
    compressor = zlib.compressobj(_LEVEL, wbits=_GZIP)
    for piece in pieces:
        data = compressor.compress(piece)
        if data:
            yield data
    yield compressor.flush()


def decompressed(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the decompressed data of one or more members, at most 256 KiB at a time.

    Raises:
        BadGzip: it is not gzip, does not end, or consists of very many tiny members, each of which
            costs more than its bytes.
    """
    stream = _Members()
    for piece in pieces:
        for start in range(0, len(piece), _IN_BYTES):
            yield from stream.feed(piece[start : start + _IN_BYTES])
    yield from stream.end()


class _Members:
    """The members of one stream, decompressed as they come."""

    def __init__(self) -> None:
        self._decompressor = zlib.decompressobj(_GZIP)
        self._is_open = False
        self._count = 0
        self._size = 0

    def feed(self, data: bytes) -> Iterator[bytes]:
        self._size += len(data)
        while data:
            self._is_open = True
            yield self._step(data)
            data = self._decompressor.unconsumed_tail
            if self._decompressor.eof:
                data = self._decompressor.unused_data
                self._next()

    def end(self) -> Iterator[bytes]:
        """Yield the rest of the output, which zlib kept because a step was full."""
        while self._is_open and not self._decompressor.eof:
            data = self._step(b"")
            if not data:
                raise BadGzip("it ends within the compressed data")
            yield data
        if not self._count and not self._is_open:
            raise BadGzip("it is empty")

    def _step(self, data: bytes) -> bytes:
        try:
            return self._decompressor.decompress(data, _OUT_BYTES)
        except zlib.error as ex:
            raise BadGzip(f"it is not gzip: {ex}") from ex

    def _next(self) -> None:
        self._decompressor = zlib.decompressobj(_GZIP)
        self._is_open = False
        self._count += 1
        if self._count > _MEMBERS_FREE + self._size // _MEMBER_BYTES:
            raise BadGzip("it has too many small members; compress it as one")
