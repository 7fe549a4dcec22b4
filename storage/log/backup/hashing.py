"""SHA-256 of segments: computed once, and continued when a segment has grown.

Every frame is verified by its checksum when its bytes are hashed for the first time, so that a
backup does not copy damage silently. A sealed segment never changes: its hash is remembered in a
file that all processes share. The active segment only grows: each process remembers how far it has
hashed it, and continues from there.

    CBOR map {number of the segment: [salt, size, hash]} | CRC32C
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Collection
from pathlib import Path
from typing import Final

import cbor2

from rundlet_server.storage.checksum import CHECKSUM_SIZE, is_whole, seal
from rundlet_server.storage.files import Buffer, Files, read_whole, write_unsynced
from rundlet_server.storage.log.format.segment import HEADER_SIZE, Segment
from rundlet_server.storage.log.format.stretches import stretches

FILE_NAME: Final = "SHA256"
_READ_BYTES: Final = 256 * 1024
"""Bytes verified and hashed at a time. Requests in other threads run while they are read and
hashed, but wait while their frames are verified: a millisecond if these are small."""


class RunningHash:
    """The hash of a segment up to some place, and the last commit before it.

    Attributes:
        offset: the place.
        revision, time_us: of the last frame; 0 without one.
    """

    def __init__(self) -> None:
        self._hasher = hashlib.sha256()
        self.offset = 0
        self.revision = 0
        self.time_us = 0

    def advance(self, segment: Segment, size: int) -> None:
        """Verify and hash the segment up to ``size``, which is the end of a frame.

        Raises:
            Damaged: the bytes up to there are not whole frames.
        """
        if self.offset >= size:
            return
        if not self.offset:
            self._add(segment.file.pread(HEADER_SIZE, 0))
        for stretch in stretches(segment, self.offset, size, read_bytes=_READ_BYTES):
            # What was verified is hashed, not what a second read returns.
            self._add(memoryview(stretch.data)[: stretch.size])
            self.revision, self.time_us, _ = stretch.last_commit

    def _add(self, data: Buffer) -> None:
        self._hasher.update(data)
        self.offset += len(data)

    def hexdigest(self) -> str:
        """Return the hash."""
        return self._hasher.hexdigest()


class SegmentHashes:
    """The hashes of one store's segments; one thread at a time may use it."""

    def __init__(self, files: Files, folder: Path) -> None:
        """Remember hashes in a file in ``folder``."""
        self._files = files
        self._path = folder / FILE_NAME
        self._known: dict[int, tuple[int, int, str]] = {}
        self._is_changed = False
        self._active: tuple[int, RunningHash] = (0, RunningHash())

    def load(self) -> None:
        """Load the hashes that other processes have computed since; ignore a damaged file."""
        with contextlib.suppress(FileNotFoundError, ValueError, TypeError, cbor2.CBORDecodeError):
            data = read_whole(self._files, self._path)
            if is_whole(data):
                known = cbor2.loads(data[:-CHECKSUM_SIZE])
                self._known = {n: (salt, size, sha) for n, (salt, size, sha) in known.items()}

    def store(self, numbers: Collection[int]) -> None:
        """Save the hashes of these segments for other processes; forget the others."""
        if self._is_changed or not self._known.keys() <= set(numbers):
            self._known = {n: self._known[n] for n in numbers if n in self._known}
            payload = cbor2.dumps({n: list(known) for n, known in self._known.items()})
            # Not synced: without it, the hashes are computed again.
            temporary = self._path.with_name(f"{FILE_NAME}.{os.getpid()}")
            self._files.unlink(temporary)
            write_unsynced(self._files, temporary, seal(payload))
            self._files.rename(temporary, self._path)
            self._is_changed = False

    def knows(self, segment: Segment, size: int) -> bool:
        """Return whether the hash of a sealed segment is remembered."""
        known = self._known.get(segment.number)
        return known is not None and known[:2] == (segment.header.salt, size)

    def sealed(self, segment: Segment, size: int) -> str:
        """Return the hash of a sealed segment.

        Raises:
            Damaged: see ``RunningHash.advance``.
        """
        if self.knows(segment, size):
            return self._known[segment.number][2]
        running = self._running(segment, size)
        running.advance(segment, size)
        found = running.hexdigest()
        self._known[segment.number] = (segment.header.salt, size, found)
        self._is_changed = True
        return found

    def active(self, segment: Segment, size: int) -> RunningHash:
        """Return the hash of the active segment up to a place.

        Raises:
            Damaged: see ``RunningHash.advance``.
        """
        running = self._running(segment, size)
        self._active = (segment.header.salt, running)
        running.advance(segment, size)
        return running

    def _running(self, segment: Segment, size: int) -> RunningHash:
        salt, running = self._active
        is_part = salt == segment.header.salt and running.offset <= size
        return running if is_part else RunningHash()
