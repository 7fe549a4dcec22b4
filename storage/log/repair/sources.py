"""What a repair can still read: segments, whole or not, and the records in them."""

from __future__ import annotations

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
from rundlet_server.storage.log.format.manifest import SegmentState
from rundlet_server.storage.log.format.names import segment_name
from rundlet_server.storage.log.format.record import BadRecord, Record
from rundlet_server.storage.log.format.segment import APPENDED, HEADER_SIZE, Segment


class Loss(NamedTuple):
    """A part of a file that could not be read. Offset and size in bytes."""

    path: Path
    offset: int
    size: int
    reason: str


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
        end: up to where it holds commits.
        header_origin: see ``segment``; 0 if the header is damaged.
        first_revision, last_revision: of its records; 0 if it has none.
        last_time_us: of its last record.
        gaps: parts without a whole frame.
        kept: how many whole records there are in each gap.
        found_by_index: whole records in gaps that only an index file could find.
        refused_from: commits from this revision on were never acknowledged; 0 if all were.
    """

    number: int
    path: Path
    file: File
    end: int
    header_origin: int
    segment: Segment | None
    first_revision: int = 0
    last_revision: int = 0
    last_time_us: int = 0
    record_count: int = 0
    gaps: list[Gap] = field(default_factory=list)
    kept: list[int] = field(default_factory=list)
    found_by_index: list[Place] = field(default_factory=list)
    refused_from: int = 0

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
        end = file.size() if end is None else end
        try:
            segment = Segment.open(files, folder, number, writable=False)
        except Damaged:
            return cls(number, path, file, end, 0, None)
        return cls(number, path, file, end, segment.header.origin, segment)

    @property
    def is_whole(self) -> bool:
        """Whether the file can stay as it is."""
        return self.segment is not None and not self.gaps and not self.refused_from

    def scan(self) -> None:
        """Read the segment once and note what is in it."""
        for piece in self._pieces():
            count = sum(self._note(data) for _, data in self._whole_records(piece))
            self.record_count += count
            if isinstance(piece, Gap):
                self.gaps.append(piece)
                self.kept.append(count)

    def losses(self) -> Iterator[Loss]:
        """Yield what could not be read."""
        for gap, kept in zip(self.gaps, self.kept, strict=True):
            reason = gap.reason
            if kept:
                reason += f"; {kept} whole records in it were kept"
            yield Loss(self.path, gap.offset, gap.size, reason)

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

    def holds(self, place: Place, key: bytes) -> bool:
        """Return whether a whole record of this key is at a place."""
        try:
            record = self.read(place)
        except BadRecord:
            return False
        return record.key == key and record.revision == place.revision

    def covers(self, revision: int) -> bool:
        """Return whether a revision lies among those of this segment."""
        return self.first_revision <= revision <= self.last_revision

    def as_state(self) -> SegmentState:
        """Return what a manifest says of the segment, if it stays as it is."""
        return SegmentState(
            self.number,
            self.end,
            self.record_count,
            self.last_revision,
            self.last_time_us,
            Totals(),
            is_indexed=True,
        )

    def _note(self, data: memoryview) -> int:
        """Take one record into account."""
        revision, time_us = records.HEADER.unpack_from(data)[7:9]
        self.first_revision = min(self.first_revision or revision, revision)
        self.last_revision = max(self.last_revision, revision)
        self.last_time_us = max(self.last_time_us, time_us)
        return 1

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


def in_groups(sources: Iterable[Source]) -> list[list[Source]]:
    """Return sources in log order; sources whose revisions overlap are in one group.

    Revisions overlap where a crash left the inputs of a compaction beside its outputs.
    """
    groups: list[list[Source]] = []
    last = 0
    for source in sorted(sources, key=lambda source: (source.first_revision, source.number)):
        if not source.first_revision:
            continue
        if groups and source.first_revision <= last:
            groups[-1].append(source)
        else:
            groups.append([source])
        last = max(last, source.last_revision)
    return groups
