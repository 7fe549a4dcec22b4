"""Many frames at a time, for reads of a whole segment.

``Segment.frames`` makes an object of each frame. If commits are small, this costs more than all
else. Here, the loop over the frames only verifies them.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from rundlet_server.storage.checksum import CHECKSUM_SIZE, RESIDUE, checksum
from rundlet_server.storage.errors import Damaged
from rundlet_server.storage.log.format import frame as frames
from rundlet_server.storage.log.format import record as records
from rundlet_server.storage.log.format.commit_times import CommitTimes, commits_of
from rundlet_server.storage.log.format.frame import ALIGNMENT, SIZE_MIN, BadFrame, Frame, Totals
from rundlet_server.storage.log.format.locator import Locator, locator_of, pack_position
from rundlet_server.storage.log.format.record import OVERHEAD, WELL_KNOWN_TYPES, BadRecord
from rundlet_server.storage.log.format.record_headers import FRAME_HEADER, headers_at
from rundlet_server.storage.log.format.segment import Segment

_READ_BYTES: Final = 1024 * 1024
"""Bytes read at a time: few enough that they stay in the processor's cache while they are used."""
_U32: Final = struct.Struct("<I")
_OFFSET: Final = struct.Struct("<Q")
_COUNT: Final = struct.Struct("<4xI")
"""The number of records in a frame header."""
_COMMIT: Final = struct.Struct("<8xQQ")
"""Revision and time in a frame header."""
_MANY: Final = 32
"""From so many frames on, numpy takes less time than a loop."""
_TOO_LONG: Final = "the records do not fit into the frame"
_TOO_SHORT: Final = "the frame has bytes after its last record"


class Stretch(NamedTuple):
    """Adjacent frames of a segment, at least one, each verified by its checksum.

    Attributes:
        path: of the segment.
        salt: of the segment.
        offset: of the first frame in the segment.
        data: their bytes.
        places: where in ``data`` each frame begins, and where the last one ends.
    """

    path: Path
    salt: int
    offset: int
    data: bytes
    places: list[int]

    @property
    def size(self) -> int:
        """The bytes of the frames; ``data`` may hold more."""
        return self.places[-1]

    @property
    def last_commit(self) -> tuple[int, int, Totals]:
        """Revision and time of the last frame, and the totals after it."""
        _, _, revision, time_us, *totals, _ = frames.HEADER.unpack_from(self.data, self.places[-2])
        return revision, time_us, Totals(*totals)

    def frame(self, number: int) -> Frame:
        """Return one of the frames; ``-1`` for the last."""
        place = self.places[:-1][number]
        return frames.decode(memoryview(self.data)[place:], self.offset + place, self.salt)

    def add_commits(self, times: CommitTimes, *, is_appended: bool) -> None:
        """Add the commits that ``commits_of`` finds in the frames.

        Raises:
            BadFrame: the records do not fit into a frame; never if ``locators`` raises nothing.
        """
        starts = self.places[:-1]
        if not is_appended:
            every = map(self.frame, range(len(starts)))
            times.add(commit for frame in every for commit in commits_of(frame, is_appended=False))
        elif len(starts) < _MANY:
            data, unpack, offset = self.data, _COMMIT.unpack_from, self.offset
            times.add([(*unpack(data, start), offset + start) for start in starts])
        else:
            at = np.array(starts, np.int64)
            headers = headers_at(self.data, at, FRAME_HEADER)
            units = (at + self.offset) // ALIGNMENT
            times.add_columns(headers["revision"], headers["time_us"], units)

    def locators(self, segment: int) -> list[tuple[bytes, Locator]]:
        """Return key and locator of each record, without a look at its own checksum.

        Most of the time of a replay is spent here: see ``_frames_found``.

        Args:
            segment: number of the stretch's segment.

        Raises:
            Damaged: the lengths do not add up, or a meta map cannot be read.
        """
        data, unpack, unpack_count = self.data, records.HEADER.unpack_from, _COUNT.unpack_from
        overhead, key_offset, body_offset = OVERHEAD, records.HEADER.size, frames.HEADER.size
        types, type_count, make = WELL_KNOWN_TYPES, len(WELL_KNOWN_TYPES), locator_of
        first = pack_position(segment, self.offset)
        found: list[tuple[bytes, Locator]] = []
        add = found.append
        start = 0
        try:
            for start, end in pairwise(self.places):
                body_end = end - CHECKSUM_SIZE
                (count,) = unpack_count(data, start)
                place = start + body_offset
                for _ in range(count):
                    if place + overhead > body_end:
                        raise BadFrame(_TOO_LONG)
                    header = unpack(data, place)
                    value_size, key_size, meta_size, version, kind, code, _, revision, _ = header
                    size = overhead + value_size + key_size + meta_size
                    if place + size > body_end:
                        raise BadFrame(_TOO_LONG)
                    key_start = place + key_offset
                    key_end = key_start + key_size
                    if meta_size or code >= type_count:
                        meta = data[key_end : key_end + meta_size]
                        content_type, expires_us, _ = records.decode_meta(code, meta)
                    else:
                        content_type, expires_us = types[code], 0
                    locator = make(
                        (
                            revision,
                            first + place,
                            size,
                            value_size,
                            version,
                            kind,
                            content_type,
                            expires_us,
                            None,
                        )
                    )
                    add((data[key_start:key_end], locator))
                    place += size
                if body_end - place >= ALIGNMENT:
                    raise BadFrame(_TOO_SHORT)
        except (BadFrame, BadRecord) as ex:
            raise Damaged(self.path, self.offset + start, str(ex)) from ex
        return found

    def records(self) -> StretchRecords:
        """Find and verify all records.

        Raises:
            Damaged: the lengths do not add up, or a checksum does not match.
        """
        places: list[int] = []
        keys: list[bytes] = []
        ends: list[int] = []
        frame_count = 0
        try:
            for count in self._frames_found(places, keys):
                ends.append(count)
                frame_count += 1
        except BadFrame as ex:
            raise Damaged(self.path, self.offset + self.places[frame_count], str(ex)) from ex
        except BadRecord as ex:
            raise Damaged(self.path, self.offset + places[-1], str(ex)) from ex
        at = np.array(places, np.int64)
        return StretchRecords(at, keys, headers_at(self.data, at), ends)

    def _frames_found(self, places: list[int], keys: list[bytes]) -> Iterator[int]:
        """Add the records of each frame; yield how many there are up to its end.

        Most of the time of a restore is spent here. So the loop does nothing that can be done for
        many records at once, and uses only local names.
        """
        data, view, unpack = self.data, memoryview(self.data), records.SIZES.unpack_from
        overhead, header_size, crc, residue = OVERHEAD, records.HEADER.size, checksum, RESIDUE
        add_place, add_key = places.append, keys.append
        for start, end in pairwise(self.places):
            body_end = end - CHECKSUM_SIZE
            (count,) = _U32.unpack_from(data, start + _U32.size)
            place = start + frames.HEADER.size
            for _ in range(count):
                if place + overhead > body_end:
                    raise BadFrame(_TOO_LONG)
                value_size, key_size, meta_size = unpack(data, place)
                next_place = place + overhead + value_size + key_size + meta_size
                if next_place > body_end:
                    raise BadFrame(_TOO_LONG)
                add_place(place)
                if crc(view[place:next_place]) != residue:
                    raise BadRecord("the checksum of the record does not match")
                place += header_size
                add_key(data[place : place + key_size])
                place = next_place
            if body_end - place >= ALIGNMENT:
                raise BadFrame(_TOO_SHORT)
            yield len(places)


class StretchRecords(NamedTuple):
    """The records of a stretch.

    Attributes:
        places: where in the stretch's ``data`` each begins.
        keys, headers: of each.
        ends: for each frame, how many records there are up to its end.
    """

    places: npt.NDArray[np.int64]
    keys: list[bytes]
    headers: npt.NDArray[np.void]
    ends: list[int]

    def first(self, count: int) -> StretchRecords:
        """Return the first of the records."""
        return StretchRecords(self.places[:count], self.keys[:count], self.headers[:count], [])


def stretches(
    segment: Segment, start: int, end: int, *, read_bytes: int = _READ_BYTES
) -> Iterator[Stretch]:
    """Yield the frames from offset ``start`` to ``end``, each verified.

    Args:
        segment: the segment.
        start: where a frame starts.
        end: where that frame or a later one ends.
        read_bytes: to read at a time.

    Raises:
        Damaged: as ``Segment.frames`` does.
    """
    salt = segment.header.salt
    offset = start
    while offset < end:
        data = segment.read_frames(offset, end, read_bytes)
        places = _verified(data, offset, salt)
        if len(places) == 1:
            raise Damaged(segment.path, offset, _why_bad(data, offset, salt))
        yield Stretch(segment.path, salt, offset, data, places)
        offset += places[-1]


def _why_bad(data: bytes, offset: int, salt: int) -> str:
    try:
        frames.decode(memoryview(data), offset, salt)
    except BadFrame as ex:
        return str(ex)
    raise AssertionError("there is a whole frame, and it was not found")


def _verified(data: bytes, offset: int, salt: int) -> list[int]:
    """Return where each whole frame at the start of ``data`` begins, and where the last ends."""
    unpack, pack, view = _U32.unpack_from, _OFFSET.pack, memoryview(data)
    places = [0]
    place = 0
    while place + SIZE_MIN <= len(data):
        end = place + unpack(data, place)[0]
        if end < place + SIZE_MIN or end % ALIGNMENT or end > len(data):
            break
        if checksum(view[place:end], checksum(pack(offset + place), salt)) != RESIDUE:
            break
        places.append(end)
        place = end
    return places
