"""Bodies of requests that are read while they are sent."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from typing import Final

import httpx

_PIECE_BYTES: Final = 256 * 1024


class FileBody(httpx.SyncByteStream, httpx.AsyncByteStream):
    """The bytes of an open file, from its start; may be sent any number of times.

    Attributes:
        size: in bytes, as it was when the body was made.
    """

    def __init__(self, descriptor: int) -> None:
        """Read the size of a file; it must stay open and unchanged until it has been sent."""
        self._descriptor = descriptor
        self.size = os.fstat(descriptor).st_size

    def __iter__(self) -> Iterator[bytes]:
        """Yield pieces of the file; if the file changes, they do not add up to ``size``."""
        offset = 0
        while piece := os.pread(self._descriptor, _PIECE_BYTES, offset):
            yield piece
            offset += len(piece)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Yield pieces of the file, read in a thread, because a disk may be slow."""
        import asyncio  # noqa: PLC0415 - `Client` needs none, and its import takes long

        offset = 0
        while piece := await asyncio.to_thread(os.pread, self._descriptor, _PIECE_BYTES, offset):
            yield piece
            offset += len(piece)
