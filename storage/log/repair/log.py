"""The log of a repaired store: segments that can stay, and what is left of the others."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from rundlet_server.storage.errors import UnknownFormat
from rundlet_server.storage.files import Files
from rundlet_server.storage.log.check.opened import look_at_commit_page
from rundlet_server.storage.log.format.locator import pack_position
from rundlet_server.storage.log.format.manifest import Manifest, SegmentState
from rundlet_server.storage.log.format.names import (
    index_numbers,
    segment_name,
    segment_numbers,
)
from rundlet_server.storage.log.format.record import ERASE, OUTCOME, Record
from rundlet_server.storage.log.format.segment import COMPACTED, HEADER_SIZE
from rundlet_server.storage.log.open.recovery import REVISION_GAP
from rundlet_server.storage.log.repair.extents import Extents
from rundlet_server.storage.log.repair.known_versions import (
    KnownIndex,
    KnownVersion,
    Numbers,
    is_superseded,
    readable_indexes,
)
from rundlet_server.storage.log.repair.output import write_segments
from rundlet_server.storage.log.repair.report import Loss
from rundlet_server.storage.log.repair.sources import (
    Group,
    Place,
    Source,
    in_groups,
    mark_unacknowledged,
)
from rundlet_server.storage.settings import StoreSettings


class LogRepair:
    """Makes whole segments from the records that can be read; removes nothing.

    Attributes:
        sources: every segment that may hold commits, as it was found.
        indexes: the index files that may know of versions that the log has lost.
        losses: parts of files that could not be read.
        lost: values that were in them, as far as index files tell.
        deletes_kept: how many lost deletes were written again.
        is_mixed: the folder holds files of more than one manifest, or none that can be read.
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
        self.sources: list[Source] = []
        self.indexes: list[KnownIndex] = []
        self.losses: list[Loss] = []
        self.lost: list[KnownVersion] = []
        self.deletes_kept = 0
        self.is_mixed = False

    @property
    def needs(self) -> frozenset[str]:
        """What a release must know to read what was found."""
        return frozenset[str]().union(*(source.needs for source in self.sources))

    def run(self) -> list[SegmentState]:
        """Return the segments of the repaired store, in log order and on stable storage."""
        self._open_sources()
        for source in self.sources:
            source.scan()
        if self._old is None:
            mark_unacknowledged(self.sources)
        self.indexes = readable_indexes(self._files, self._folder, self._index_numbers())
        copies = {source.number for source in self.sources if source.header_origin == COMPACTED}
        for index in self.indexes:
            if index.is_in_any(copies):
                index.first_revision = 1  # a compaction writes one index of all before it
        missing = list(self._missing())
        missing += self._lost_erasures(missing)
        for source in self.sources:
            self.losses += source.losses()
        if self.is_mixed:
            self.losses += self._holes()
        deletes = [version for version in missing if version.is_tombstone]
        erased = self._old.erased if self._old else {}
        self.lost = [
            version
            for version in missing
            if not version.is_tombstone and version.revision >= erased.get(version.key, 0)
        ]
        self.deletes_kept = len(deletes)
        states: list[SegmentState] = []
        for group in in_groups(self.sources, deletes):
            states += self._kept(group)
        return states

    def _open_sources(self) -> None:
        """Open every segment that may hold commits; those that are missing are losses."""
        extents = Extents(self._folder, self._settings, self._old)
        self.is_mixed = extents.is_mixed
        for number, end in extents.ends().items():
            try:
                self.sources.append(Source.open(self._files, self._folder, number, end))
            except FileNotFoundError:
                if end != HEADER_SIZE:
                    path = self._folder / segment_name(number)
                    self.losses.append(Loss(path, 0, end or 0, "the segment is missing"))

    def _index_numbers(self) -> list[int]:
        """Return the index files that say what the log should hold, except long replaced ones."""
        numbers = index_numbers(self._files, self._folder)
        if self._old is None:
            return numbers
        named = {state.number for state in self._old.indexes}
        newer = [number for number in numbers if number >= self._old.next_index]
        self.is_mixed |= bool(newer)
        return [number for number in numbers if number in named] + newer

    def _missing(self) -> Iterator[KnownVersion]:
        """Yield each version that an index file knows and that is in no source."""
        by_number = {source.number: source for source in self.sources}
        positions, revisions = self._found()
        seen: set[tuple[bytes, int]] = set()
        for place, index in enumerate(self.indexes):
            for version in index.missing(positions, revisions):
                if (version.key, version.revision) in seen:
                    continue
                seen.add((version.key, version.revision))
                if version.kind == OUTCOME:
                    continue  # of use only with its commit, whose loss is reported
                source = by_number.get(version.segment)
                where = Place(version.revision, version.segment, version.offset, version.size)
                is_kept = source is not None and source.recover(where, version.key)
                if not is_kept and not self._is_known_elsewhere(version, place):
                    yield version

    def _lost_erasures(self, missing: Sequence[KnownVersion]) -> list[KnownVersion]:
        """Return the erasures that only the manifest knows; else erased values would come back."""
        known = {(version.key, version.revision) for version in missing}
        return [
            KnownVersion(revision, 0, 0, 0, key, ERASE)
            for key, revision in (self._old.erased if self._old else {}).items()
            if (key, revision) not in known
            and not any(source.has(key, revision) for source in self.sources)
        ]

    def _is_known_elsewhere(self, version: KnownVersion, place: int) -> bool:
        """Return whether a version is in another segment, or was not needed any more."""
        return any(source.has(version.key, version.revision) for source in self.sources) or (
            is_superseded(version, self.indexes[:place])
        )

    def _found(self) -> tuple[Numbers, Numbers]:
        """Return the positions of all records in the sources, ascending, and their revisions."""
        positions = [np.empty(0, np.uint64)]
        revisions = [np.empty(0, np.uint64)]
        for source in sorted(self.sources, key=lambda source: source.number):
            base = np.uint64(pack_position(source.number, 0))
            positions.append(np.array(source.offsets, np.uint64) + base)
            revisions.append(np.array(source.revisions, np.uint64))
        return np.concatenate(positions), np.concatenate(revisions)

    def _holes(self) -> Iterator[Loss]:
        """Yield a loss for revisions that are in no segment and that no index file covers.

        Commits have consecutive revisions, except across a gap of ``REVISION_GAP``; a hole may be
        beside one. If an index file covers the hole, the versions lost there are known from it.
        """
        sources = [source for source in self.sources if source.first_revision]
        sources.sort(key=lambda source: source.first_revision)
        last = 0
        for source, following in itertools.pairwise(sources):
            last = max(last, source.last_revision)
            first, end = last + 1, following.first_revision
            is_told = source.gaps or any(index.covers(first) for index in self.indexes)
            if first < end < first + REVISION_GAP:
                what = f"revisions {first} to {end - 1}"
            elif first + REVISION_GAP < end < first + 2 * REVISION_GAP:
                what = f"{end - first - REVISION_GAP} revisions between {first} and {end - 1}"
            else:
                continue
            if not is_told:
                reason = f"{what} are in no segment; unless all were deletes, they are lost"
                yield Loss(source.path, source.end, 0, reason)

    def _kept(self, group: Group) -> list[SegmentState]:
        """Return the segments that a group becomes: itself, or what is left of it, rewritten."""
        if group.is_whole:
            return [group.sources[0].as_state()]
        by_number = {source.number: source for source in group.sources}
        places = [place for source in group.sources for place, _ in source.records()]
        places += [place for source in group.sources for place in source.found_by_index]
        read = (by_number[place.source].read(place) for place in sorted(places))
        deletes = [delete.as_tombstone() for delete in group.deletes]
        return self._written(heapq.merge(read, deletes, key=_revision))

    def _written(self, found: Iterable[Record]) -> list[SegmentState]:
        return write_segments(
            self._files,
            self._folder,
            first_number=next_segment(self._files, self._folder, self._old),
            store_id=self._store_id,
            found=_each_once(found),
            segment_bytes_max=self._settings.segment_bytes_max,
        )


def commit_page_clock_us(folder: Path, settings: StoreSettings) -> int:
    """Return the latest time that any process has acted on in this boot; 0 if it is not known."""
    try:
        page = look_at_commit_page(folder, settings)
    except UnknownFormat:
        return 0
    return page.clock_us if page is not None and page.published is not None else 0


def next_segment(files: Files, folder: Path, old: Manifest | None) -> int:
    """Return a segment number above all that the manifest has reserved, and above all files."""
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
