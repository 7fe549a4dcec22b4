"""The segments in a backup directory, in pieces.

A piece is a file that holds the bytes of one segment from one place to another and never changes.
A segment grows by further pieces. When little is added, the new piece takes in the small pieces
before it, so that a segment consists of few pieces however often it is backed up; the pieces taken
in are removed once an index is written. So pieces may overlap: if several hold a place, the one
that ends last is read.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final, NamedTuple

from rundlet_server.storage.errors import Damaged
from rundlet_server.storage.log.backup.names import PIECE
from rundlet_server.storage.log.backup.places import BackupPlace

PIECE_BYTES: Final = 16 * 1024 * 1024
"""The size of a large piece: the most that is held in memory, or lost when a copy is killed."""


class Piece(NamedTuple):
    """One piece: the bytes from ``start`` to ``end`` of a segment."""

    name: str
    start: int
    end: int


SegmentKey = tuple[str, str]
"""The id of a store and the name of a segment."""


def pieces_in(sizes: Mapping[str, int]) -> dict[SegmentKey, list[Piece]]:
    """Return the pieces among the files of a place, by store and segment.

    A file that is shorter than its name says was not synced when the power failed: it is left out.
    """
    found: dict[SegmentKey, list[Piece]] = {}
    for name, size in sizes.items():
        match = PIECE.fullmatch(name)
        if match is not None:
            piece = Piece(name, int(match[3]), int(match[4]))
            if piece.end - piece.start == size > 0:
                found.setdefault((match[1], match[2]), []).append(piece)
    return found


def chain_of(pieces: Iterable[Piece]) -> list[Piece]:
    """Return the pieces that are read, in order: they begin at 0 and leave no gap."""
    chain: list[Piece] = []
    waiting = sorted(pieces, key=lambda piece: (piece.start, piece.end))
    end = place = 0
    while True:
        best = None
        while place < len(waiting) and waiting[place].start <= end:
            if best is None or waiting[place].end > best.end:
                best = waiting[place]
            place += 1
        if best is None or best.end <= end:
            return chain
        chain.append(best)
        end = best.end


def end_of(chain: list[Piece]) -> int:
    """Return up to where a chain reaches."""
    return chain[-1].end if chain else 0


def read_range(place: BackupPlace, chain: list[Piece], start: int, end: int) -> Iterator[bytes]:
    """Yield the bytes from ``start`` to ``end`` of a segment, which the chain must hold.

    Raises:
        Damaged: a piece is missing or too short.
    """
    for piece in chain:
        if piece.end <= start or start >= end:
            continue
        size = min(piece.end, end) - start
        try:
            data = place.read(piece.name, start - piece.start, size)
        except FileNotFoundError:
            data = b""
        if len(data) != size:
            raise Damaged(Path(str(place)) / piece.name, 0, "the piece is too short, or missing")
        yield data
        start += size
    if start < end:
        missing = f"{end - start} bytes of a segment are missing, from {start} on"
        raise Damaged(Path(str(place)), 0, missing)
