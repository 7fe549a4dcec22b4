"""Read large values in pieces, so that a slow reader keeps no whole value in memory.

A record has one checksum for all of it. So the first pass over a large value verifies the record
and notes a checksum of each piece; when a piece is read again, to be sent, it is verified by its
own checksum. The alternative, to keep what the first pass has read, takes the whole value in memory
for as long as its reader takes.
"""

from __future__ import annotations

from array import array
from pathlib import Path
from typing import Final, NamedTuple

from rundlet_server.storage.checksum import checksum
from rundlet_server.storage.errors import Damaged
from rundlet_server.storage.files import File

PIECE_BYTES: Final = 128 * 1024


class Place(NamedTuple):
    """Where a value is, and what its checksum covers besides.

    Attributes:
        file: of the value; it stays open while it is referenced, even if it has been removed.
        path: of the file, for errors.
        offset: of the value.
        size: of the value.
        before: the checksum of the covered bytes before the value.
        size_behind: of the covered bytes behind the value.
        whole: the checksum of all covered bytes.
    """

    file: File
    path: Path
    offset: int
    size: int
    before: int
    size_behind: int
    whole: int


class Pieces:
    """The bytes of one large value. One thread at a time may use it."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._checksums = array("I")

    def verify(self) -> None:
        """Read the whole value once, a piece at a time.

        Raises:
            Damaged: it is not what was written.
        """
        place = self._place
        total = place.before
        checksums = array("I")
        for start in range(0, place.size, PIECE_BYTES):
            piece = self._piece(start)
            checksums.append(checksum(piece))
            total = checksum(piece, total)
        behind = place.file.pread(place.size_behind, place.offset + place.size)
        if checksum(behind, total) != place.whole:
            raise Damaged(place.path, place.offset, "the checksum of the value does not match")
        self._checksums = checksums

    def read(self, start: int, size: int) -> bytes:
        """Return up to ``size`` bytes from ``start`` on: at least one, at most the rest of a piece.

        Call ``verify`` before.

        Raises:
            Damaged: the piece has changed since.
        """
        number, skipped = divmod(start, PIECE_BYTES)
        piece = self._piece(start - skipped)
        if checksum(piece) != self._checksums[number]:
            place = self._place
            raise Damaged(place.path, place.offset + start, "the value has changed since it opened")
        return piece[skipped : skipped + size]

    def _piece(self, start: int) -> bytes:
        place = self._place
        return place.file.pread(min(PIECE_BYTES, place.size - start), place.offset + start)
