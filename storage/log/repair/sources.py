"""What a repair can still read: segments, whole or not, and the records in them."""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from rundlet_server.storage.errors import Damaged
from rundlet_server.storage.files import File, Files
from rundlet_server.storage.log.check import salvage
from rundlet_server.storage.log.check.salvage import Gap
from rundlet_server.storage.log.format import record as records
from rundlet_server.storage.log.format.frame import BadFrame, Frame, Totals
from rundlet_server.storage.log.format.manifest import METADATA, OUTCOMES, SegmentState
from rundlet_server.storage.log.format.names import segment_name
from rundlet_server.storage.log.format.record import BadRecord, Record
from rundlet_server.storage.log.format.segment import APPENDED, HEADER_SIZE, Segment
from rundlet_server.storage.log.repair.known_versions import KnownVersion
from rundlet_server.storage.log.repair.report import Loss


class Place(NamedTuple):
    """Where a whole record is: revision first, so that places sort in log order."""

    revision: int
    source: int
    offset: int
    size: int


@dataclass(slots=True)
class Source:
    """One segment file as it was found.

    Attributes:
        end: up to where it holds commits; it may be behind the end of the file.
        is_end_known: something other than the size of the file says where that is.
        header_origin: see ``segment``; 0 if the header is damaged.
        first_revision, last_revision: of its records; 0 if it has none.
        last_time_us: of its last record.
        gaps: parts without a whole frame.
        offsets, revisions: of all whole records, in the order of the file.
        found_by_index: whole records in gaps that only an index file could find.
        refused_from: commits from this revision on were never acknowledged; 0 if all were.
        needs: what a release must know to read its records, see ``Manifest``.
    """

    number: int
    path: Path
    file: File
    end: int
    is_end_known: bool
    header_origin: int
    segment: Segment | None
    first_revision: int = 0
    last_revision: int = 0
    last_time_us: int = 0
    record_count: int = 0
    gaps: list[Gap] = field(default_factory=list)
    offsets: array[int] = field(default_factory=lambda: array("Q"))
    revisions: array[int] = field(default_factory=lambda: array("Q"))
    found_by_index: list[Place] = field(default_factory=list)
    refused_from: int = 0
    needs: set[str] = field(default_factory=set)

    @classmethod
    def open(cls, files: Files, folder: Path, number: int, end: int | None) -> Source:
        """Open a segment, even one with a damaged header.

        Args:
            files: the file system.
            folder: of the store.
            number: of the segment.
            end: up to where it holds commits; ``None`` for all of the file.

        Raises:
            FileNotFoundError: the segment is missing.
            UnknownFormat: another release wrote it.
        """
        path = folder / segment_name(number)
        file = files.open(path, writable=False)
        is_end_known = end is not None
        end = file.size() if end is None else end
        try:
            segment = Segment.open(files, folder, number, writable=False)
        except Damaged:
            return cls(number, path, file, end, is_end_known, 0, None)
        except BaseException:
            file.close()
            raise
        return cls(number, path, file, end, is_end_known, segment.header.origin, segment)

    @property
    def is_whole(self) -> bool:
        """Whether the file can stay as it is."""
        return self.segment is not None and not self.gaps and not self.refused_from

    def scan(self) -> None:
        """Read the segment once and note what is in it."""
        for piece in self._pieces():
            for offset, data in self._whole_records(piece):
                header = records.HEADER.unpack_from(data)
                revision, time_us = header[7:9]
                self._note_needs(header[4], header[5])
                self.offsets.append(offset)
                self.revisions.append(revision)
                self._note(revision, time_us)
            if isinstance(piece, Gap):
                self.gaps.append(piece)

    def losses(self) -> Iterator[Loss]:
        """Yield what could not be read, and was not found by an index file either."""
        if self.segment is None and self.end <= HEADER_SIZE and not self.is_end_known:
            reason = "the segment header is damaged or cut off, with all commits after it"
            yield Loss(self.path, min(self.file.size(), HEADER_SIZE), 0, reason)
        for gap in self.gaps:
            kept = sorted(self._places_in(gap))
            if salvage.is_filled(gap, kept):
                continue
            reason = f"{gap.reason}; {len(kept)} whole records in it were kept"
            yield Loss(self.path, gap.offset, gap.size, reason if kept else gap.reason)

    def _places_in(self, gap: Gap) -> Iterator[tuple[int, int]]:
        """Yield offset and size of each whole record in a gap."""
        start = bisect_left(self.offsets, gap.offset)
        for offset in self.offsets[start : bisect_left(self.offsets, gap.offset + gap.size)]:
            sizes = records.SIZES.unpack(self.file.pread(records.SIZES.size, offset))
            yield offset, records.OVERHEAD + sum(sizes)
        for place in self.found_by_index:
            if gap.offset <= place.offset < gap.offset + gap.size:
                yield place.offset, place.size

    def records(self) -> Iterator[tuple[Place, memoryview]]:
        """Yield all whole records, in frames and in gaps."""
        for piece in self._pieces():
            for offset, data in self._whole_records(piece):
                revision = records.HEADER.unpack_from(data)[7]
                if not self.refused_from or revision < self.refused_from:
                    yield Place(revision, self.number, offset, len(data)), data

    def read(self, place: Place) -> Record:
        """Return the record at a place that holds a whole one."""
        return records.decode(self.file.pread(place.size, place.offset))

    def recover(self, place: Place, key: bytes) -> bool:
        """Take a record that an index file knows of; return whether it is whole."""
        if not self.gaps:
            return False
        try:
            record = self.read(place)
        except BadRecord:
            return False
        if record.key != key or record.revision != place.revision:
            return False
        if not self.refused_from or record.revision < self.refused_from:
            self.found_by_index.append(place)
            code = records.TYPE_AND_METADATA if record.metadata else 0
            self._note_needs(record.kind, code)
            self._note(record.revision, record.time_us)
        return True

    def has(self, key: bytes, revision: int) -> bool:
        """Return whether this version is among the records that can be kept."""
        is_refused = self.refused_from and revision >= self.refused_from
        if is_refused or not self.first_revision <= revision <= self.last_revision:
            return False
        start, end = bisect_left(self.revisions, revision), bisect_right(self.revisions, revision)
        places = list(self.offsets[start:end])
        places += [place.offset for place in self.found_by_index if place.revision == revision]
        head_size = records.HEADER.size
        for offset in places:
            key_size = records.SIZES.unpack(self.file.pread(records.SIZES.size, offset))[1]
            if self.file.pread(key_size, offset + head_size) == key:
                return True
        return False

    def as_state(self) -> SegmentState:
        """Return the manifest's entry for the segment, if it stays as it is."""
        return SegmentState(
            self.number,
            self.end,
            self.record_count,
            self.last_revision,
            self.last_time_us,
            Totals(),
            is_indexed=True,
        )

    def _note(self, revision: int, time_us: int) -> None:
        """Count one record."""
        self.record_count += 1
        self.first_revision = min(self.first_revision or revision, revision)
        self.last_revision = max(self.last_revision, revision)
        self.last_time_us = max(self.last_time_us, time_us)

    def _note_needs(self, kind: int, type_code: int) -> None:
        if type_code == records.TYPE_AND_METADATA:
            self.needs.add(METADATA)
        if kind == records.OUTCOME:
            self.needs.add(OUTCOMES)

    def _pieces(self) -> Iterator[Frame | Gap]:
        if self.segment is not None:
            yield from salvage.pieces(self.segment, HEADER_SIZE, self.end)
        elif self.end > HEADER_SIZE:
            yield Gap(HEADER_SIZE, self.end - HEADER_SIZE, "the segment header is damaged")

    def _whole_records(self, piece: Frame | Gap) -> Iterator[tuple[int, memoryview]]:
        if isinstance(piece, Gap):
            data = memoryview(self.file.pread(piece.size, piece.offset))
            yield from salvage.whole_records(data, piece.offset)
            return
        try:
            yield from piece.records()
        except BadFrame:
            return  # a frame with a good checksum and wrong lengths: keep what adds up


def mark_unacknowledged(sources: Sequence[Source]) -> None:
    """Mark commits in abandoned segments that the next segment has replaced.

    After a failed sync the log continued in the next segment from the last published commit:
    revisions from the next segment's first one on were refused, not committed.
    """
    limit = 0
    for source in sorted(sources, key=lambda source: source.number, reverse=True):
        if source.header_origin != APPENDED or not source.first_revision:
            continue
        if limit and source.last_revision >= limit:
            source.refused_from = limit
        limit = min(limit or source.first_revision, source.first_revision)


@dataclass(slots=True)
class Group:
    """Sources, in log order, that become segments of their own.

    Attributes:
        sources: may be none, if there are only deletes.
        first_revision, last_revision: of the records.
        deletes: lost deletes that are written again among the records.
    """

    sources: list[Source]
    first_revision: int
    last_revision: int
    deletes: list[KnownVersion] = field(default_factory=list)

    @property
    def is_whole(self) -> bool:
        """Whether this is one segment that can stay as it is."""
        return len(self.sources) == 1 and self.sources[0].is_whole and not self.deletes


def in_groups(sources: Iterable[Source], deletes: Iterable[KnownVersion]) -> list[Group]:
    """Return sources in log order, and the deletes where they belong.

    Sources whose revisions overlap are in one group: a crash leaves the inputs of a compaction
    beside its outputs.
    """
    groups: list[Group] = []
    for source in sorted(sources, key=lambda source: (source.first_revision, source.number)):
        if not source.first_revision:
            continue
        if not groups or source.first_revision > groups[-1].last_revision:
            groups.append(Group([], source.first_revision, source.last_revision))
        groups[-1].sources.append(source)
        groups[-1].last_revision = max(groups[-1].last_revision, source.last_revision)
    for delete in sorted(deletes):
        place = bisect_left(groups, delete.revision, key=lambda group: group.last_revision)
        if place == len(groups) or groups[place].first_revision > delete.revision:
            is_before = place > 0 and not groups[place - 1].sources
            place -= is_before
            if not is_before:
                groups.insert(place, Group([], delete.revision, delete.revision))
        groups[place].deletes.append(delete)
        groups[place].last_revision = max(groups[place].last_revision, delete.revision)
    return groups
