"""The log of a repaired store: segments that can stay, and what is left of the others."""

from __future__ import annotations

import contextlib
import heapq
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from rundlet_server.storage.errors import Damaged, UnknownFormat
from rundlet_server.storage.files import Files
from rundlet_server.storage.log.check.opened import OpenedStore, end_of_active, look_at_commit_page
from rundlet_server.storage.log.format.commit_page import CommitPage
from rundlet_server.storage.log.format.manifest import Manifest, SegmentState
from rundlet_server.storage.log.format.names import (
    index_numbers,
    segment_name,
    segment_number,
    segment_numbers,
)
from rundlet_server.storage.log.format.record import Record
from rundlet_server.storage.log.format.segment import APPENDED, Segment
from rundlet_server.storage.log.open.orphans import unnamed_commits
from rundlet_server.storage.log.repair.known_versions import KnownVersion, known_versions
from rundlet_server.storage.log.repair.output import write_segments
from rundlet_server.storage.log.repair.sources import (
    Loss,
    Place,
    Source,
    in_groups,
    mark_unacknowledged,
)
from rundlet_server.storage.settings import StoreSettings


class LogRepair:
    """Makes whole segments from what there is; removes nothing.

    Attributes:
        losses: parts of files that could not be read.
        lost: versions that were in them, as far as index files tell.
        deletes_kept: how many lost deletes were written again.
    """

    def __init__(
        self, folder: Path, settings: StoreSettings, old: Manifest | None, store_id: bytes
    ) -> None:
        """Begin a repair.

        Args:
            folder: of the store.
            settings: of the store.
            old: the manifest, if it can be read.
            store_id: the new one.
        """
        self._folder = folder
        self._settings = settings
        self._files = settings.files
        self._old = old
        self._store_id = store_id
        self.losses: list[Loss] = []
        self.lost: list[KnownVersion] = []
        self.deletes_kept = 0

    def run(self) -> list[SegmentState]:
        """Return the segments of the repaired store, in log order and on stable storage."""
        sources = self._sources()
        for source in sources:
            source.scan()
            self.losses += source.losses()
        if self._old is None:
            mark_unacknowledged(sources)
        self._find_lost(sources)
        states: list[SegmentState] = []
        for group in in_groups(sources):
            states += self._kept(group)
        states += self._kept_deletes_of_missing(sources)
        states.sort(key=lambda state: state.last_revision)
        return states

    def _sources(self) -> list[Source]:
        """Return every segment that may hold commits; those that are missing are losses."""
        sources = []
        for number, end in self._ends().items():
            try:
                sources.append(Source.open(self._files, self._folder, number, end))
            except FileNotFoundError:
                path = self._folder / segment_name(number)
                self.losses.append(Loss(path, 0, end or 0, "the segment is missing"))
        return sources

    def _ends(self) -> dict[int, int | None]:
        """Return the segments to read by number, and up to where; ``None`` for all of the file."""
        ends: dict[int, int | None] = {}
        if self._old is not None:
            opened = OpenedStore.open(self._folder, self._settings)
            ends |= opened.ends
            if self._old.active.number not in opened.segments:
                ends[self._old.active.number] = None  # damaged, so all of it must be read
            unnamed = unnamed_commits(self._files, self._folder, self._old)
            return ends | dict.fromkeys(filter(None, map(segment_number, unnamed)))
        ends |= dict.fromkeys(segment_numbers(self._files, self._folder))
        for number in reversed(ends):
            with contextlib.suppress(Damaged):
                segment = Segment.open(self._files, self._folder, number, writable=False)
                if segment.header.origin == APPENDED:
                    ends[number] = end_of_active(segment, self._page())
                    break
        return ends

    def _page(self) -> CommitPage | None:
        try:
            return look_at_commit_page(self._folder, self._settings)
        except UnknownFormat:
            return None

    def _find_lost(self, sources: Sequence[Source]) -> None:
        """Ask the index files what else was in damaged segments: more places, or losses."""
        damaged = {source.number: source for source in sources if source.gaps}
        indexes = index_numbers(self._files, self._folder)
        numbers = set(damaged)
        if self._old is not None:
            indexes = [state.number for state in self._old.indexes]
            present = {source.number for source in sources}
            numbers |= {state.number for state in self._old.segments} - present
        found = {
            (place.source, place.offset)
            for source in damaged.values()
            for place, _ in source.records()
        }
        for version in known_versions(self._files, self._folder, indexes, numbers):
            if (version.segment, version.offset) in found:
                continue
            place = Place(version.revision, version.segment, version.offset, version.size)
            source = damaged.get(version.segment)
            if source is not None and source.holds(place, version.key):
                source.found_by_index.append(place)
            else:
                self.lost.append(version)

    def _kept(self, group: Sequence[Source]) -> list[SegmentState]:
        """Return the segments that a group becomes: itself, or what is left of it, rewritten."""
        if len(group) == 1 and group[0].is_whole:
            return [group[0].as_state()]
        by_number = {source.number: source for source in group}
        places = [place for source in group for place, _ in source.records()]
        places += [place for source in group for place in source.found_by_index]
        read = (by_number[place.source].read(place) for place in sorted(places))
        deletes = [v for v in self.lost if v.is_tombstone and v.segment in by_number]
        return self._written(heapq.merge(read, self._again(deletes), key=_revision))

    def _kept_deletes_of_missing(self, sources: Sequence[Source]) -> list[SegmentState]:
        """Return the deletes of segments that are missing as a whole, in segments of their own."""
        numbers = {source.number for source in sources if source.record_count}
        deletes = [
            version
            for version in self.lost
            if version.is_tombstone
            and version.segment not in numbers
            and not any(source.covers(version.revision) for source in sources)
        ]
        states: list[SegmentState] = []
        for segment in sorted({version.segment for version in deletes}):
            states += self._written(self._again([v for v in deletes if v.segment == segment]))
        return states

    def _again(self, deletes: Iterable[KnownVersion]) -> list[Record]:
        """Return deletes as records, in order; they are no longer lost."""
        again = sorted(set(deletes))
        self.deletes_kept += len(again)
        self.lost = [version for version in self.lost if version not in set(again)]
        return [version.as_tombstone() for version in again]

    def _written(self, found: Iterable[Record]) -> list[SegmentState]:
        return write_segments(
            self._files,
            self._folder,
            first_number=next_segment(self._files, self._folder, self._old),
            store_id=self._store_id,
            found=_each_once(found),
            segment_bytes_max=self._settings.segment_bytes_max,
        )


def next_segment(files: Files, folder: Path, old: Manifest | None) -> int:
    """Return a segment number above all that the manifest gave out, and above all files."""
    given_out = old.next_segment if old else 1
    return max([given_out, *(number + 1 for number in segment_numbers(files, folder))])


def _revision(record: Record) -> int:
    return record.revision


def _each_once(found: Iterable[Record]) -> Iterator[Record]:
    """Yield records in the order of revisions, each of them once."""
    revision = 0
    keys: set[bytes] = set()
    for record in found:
        if record.revision != revision:
            revision = record.revision
            keys.clear()
        if record.key not in keys:
            keys.add(record.key)
            yield record
