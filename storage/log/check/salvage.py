"""Read what may be damaged: the whole frames of a segment, and whole records between them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from rundlet_server.storage.checksum import CHECKSUM_SIZE, RESIDUE, checksum
from rundlet_server.storage.errors import Damaged
from rundlet_server.storage.log.format import frame as frames
from rundlet_server.storage.log.format import record as records
from rundlet_server.storage.log.format.frame import ALIGNMENT, REVISION_MAX, Frame
from rundlet_server.storage.log.format.segment import Segment

_RECORD_HEADER: Final = records.HEADER


class Gap(NamedTuple):
    """A part of a segment without a whole frame. Offset and size in bytes."""

    offset: int
    size: int
    reason: str


def pieces(segment: Segment, start: int, end: int) -> Iterator[Frame | Gap]:
    """Yield all whole frames from ``start`` to ``end``, and the gaps, in order."""
    offset = start
    while offset < end:
        try:
            for frame in segment.frames(offset, end):
                yield frame
                offset = frame.offset + frame.size
        except Damaged as ex:
            following = _next_frame(segment, ex.offset + ALIGNMENT, end)
            yield Gap(ex.offset, following - ex.offset, ex.reason)
            offset = following


def whole_records(data: memoryview, offset: int) -> Iterator[tuple[int, memoryview]]:
    """Yield the records in damaged bytes that are whole by their own checksums, with their offsets.

    The frame around them is damaged, but its layout gives the place of its first record: behind the
    frame header, at a multiple of 8. Each record gives the place of the next one.

    Args:
        data: the bytes.
        offset: their place in the segment.
    """
    place = 0
    while place < len(data):
        end = 0
        for start, size in _plausible_records(data, place + frames.HEADER.size):
            record = data[start : start + size]
            if checksum(record) == RESIDUE:
                yield offset + start, record
                end = start + size
        place = _end_of_frame(end) if end else place + ALIGNMENT


def is_filled(gap: Gap, places: Iterable[tuple[int, int]]) -> bool:
    """Return whether frames made of these whole records fill a gap: then nothing in it is lost.

    Args:
        gap: the gap.
        places: offset and size of each record, ascending.
    """
    frame, end = gap.offset, 0
    for offset, size in places:
        if offset != end:
            frame = _end_of_frame(end) if end else frame
            if offset != frame + frames.HEADER.size:
                return False
        end = offset + size
    return bool(end) and _end_of_frame(end) == gap.offset + gap.size


def _end_of_frame(end: int) -> int:
    """Return where a frame ends whose last record ends at ``end``."""
    following = end + CHECKSUM_SIZE
    return following + -following % ALIGNMENT


def _plausible_records(data: memoryview, start: int) -> Iterator[tuple[int, int]]:
    """Yield start and size of what may be records, one behind the other."""
    while start + records.OVERHEAD <= len(data):
        fields = _RECORD_HEADER.unpack_from(data, start)
        value_size, key_size, meta_size, _, kind, _, zero, revision, _ = fields
        size = records.OVERHEAD + value_size + key_size + meta_size
        is_plausible = (
            key_size > 0
            and kind in records.KINDS
            and zero == 0
            and 0 < revision < REVISION_MAX
            and start + size <= len(data)
        )
        if not is_plausible:
            return
        yield start, size
        start += size


def _next_frame(segment: Segment, start: int, end: int) -> int:
    """Return where the first whole frame from ``start`` on begins; ``end`` if there is none."""
    if start >= end:
        return end
    rest = memoryview(segment.file.pread(end - start, start))
    found = next(frames.search(rest, start, segment.header.salt), None)
    return found.offset if found else end
