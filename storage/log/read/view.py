"""A view: the segments, deltas and index files that together answer reads.

Everything in a view but its newest delta is immutable. When the manifest changes, the follower
makes a new view from the parts that stay. Reads of the old view may finish, because an unlinked
file can be read as long as it is open.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from rundlet_server.storage.bounds import LARGE_VALUE_BYTES
from rundlet_server.storage.files import File, Files
from rundlet_server.storage.interface import Entry
from rundlet_server.storage.large_values import LargeValue
from rundlet_server.storage.log.format.commit_times import CommitTimes
from rundlet_server.storage.log.format.frame import Totals
from rundlet_server.storage.log.format.locator import (
    OFFSET_BITS,
    OFFSET_MAX,
    Locator,
    may_have_metadata,
    pack_position,
    segment_of,
)
from rundlet_server.storage.log.format.manifest import Manifest
from rundlet_server.storage.log.format.record import (
    ERASE,
    VALUES,
    BadRecord,
    Record,
    decode_entries,
    decode_entry,
)
from rundlet_server.storage.log.format.segment import Segment
from rundlet_server.storage.log.index.columns import KIND_MASK
from rundlet_server.storage.log.index.delta import Delta, newest_at
from rundlet_server.storage.log.index.file import IndexFile, Place
from rundlet_server.storage.log.read.entry_cache import EntryCache
from rundlet_server.storage.log.read.many_records import read_records
from rundlet_server.storage.log.read.page_cache import read_cached
from rundlet_server.storage.log.read.sealed_times import SealedTimes
from rundlet_server.storage.metadata import NO_METADATA, Metadata


class Head(NamedTuple):
    """The store after its last commit."""

    revision: int
    time_us: int
    totals: Totals


_VALUES: Final = frozenset(VALUES)
_AT_ONCE: Final = 256
"""Records that are in memory beside their values."""


class NotPlain(Exception):
    """A version that cannot be read in one pass, see ``View.read_place``."""


class View:
    """What one process knows of the store at some position of the log.

    Attributes:
        manifest: the state of the files this view was made of.
        deltas: newest first; the first one belongs to the active segment and grows.
        active: the first one.
        indexes: newest first.
        sealed_times: commits of indexed segments.
        cache: of values read from this view and others with the same newest delta.
        position: of the log up to which everything has been added; written last.
        head: revision, time and totals of the last commit added; replaced as one.
    """

    def __init__(
        self,
        files: Files,
        folder: Path,
        manifest: Manifest,
        *,
        segments: dict[int, Segment],
        open_segments_max: int,
        deltas: tuple[Delta, ...],
        indexes: tuple[IndexFile, ...],
        cache: EntryCache,
        sealed_times: SealedTimes,
    ) -> None:
        self._files = files
        self._folder = folder
        self.manifest = manifest
        self.segments = segments
        self._open_segments_max = open_segments_max
        self.deltas = deltas
        self.active = deltas[0]
        self._rows = tuple(delta.rows for delta in deltas)
        self.indexes = indexes
        self.cache = cache
        self.sealed_times = sealed_times
        active = manifest.active
        self.head = Head(active.last_revision, active.last_time_us, active.totals)
        self.position = pack_position(deltas[0].segment, deltas[0].offset)

    @property
    def log_bytes(self) -> int:
        """The size of all segments together."""
        return self.manifest.sealed_bytes + self.active.offset

    @property
    def unindexed_count(self) -> int:
        """The number of records that no index file holds yet."""
        return sum(delta.record_count for delta in self.deltas)

    @property
    def erased(self) -> Mapping[bytes, int]:
        """Keys whose erased versions may still be in files, with the revision of the erasure."""
        erased = dict(self.manifest.erased)
        for delta in reversed(self.deltas):
            erased.update(delta.erased)
        return erased

    def cached(self, key: bytes) -> Entry | None:
        """Return the newest value of a key if the cache holds it; it may have expired."""
        entry = self.cache.get(key)
        if entry is not None:
            newer = self.deltas[0].rows.get(key)
            if newer is not None and newer.revision != entry.revision:
                return None
        return entry

    def cached_many(self, keys: Sequence[bytes]) -> list[Entry | None]:
        """Do as ``cached`` does, for many keys."""
        found = self.cache.get_many(keys)
        rows = self.deltas[0].rows
        if rows:  # often empty, or with rows of few keys, which ``map`` finds
            for number, newer in enumerate(map(rows.get, keys)):
                if newer is not None:
                    entry = found[number]
                    if entry is not None and newer.revision != entry.revision:
                        found[number] = None
        return found

    def newest(self, key: bytes) -> Place | None:
        """Return revision, position, size and flags of the newest version of a key.

        Once in four billion times they are another key's, see ``IndexFile.newest``. ``None`` is
        certain: the key has no version.
        """
        for rows in self._rows:
            locator = rows.get(key)
            if locator is not None:
                return locator.revision, locator.position, locator.size, locator.kind
        for index in self.indexes:
            place = index.newest(key)
            if place is not None:
                return place
        return None

    def find(self, key: bytes, at: int | None = None) -> Locator | None:
        """Return the newest version of a key, or the newest of revision ``at`` or before.

        It costs a dict look-up per delta and a hash look-up per index file. A version that was
        erased since is not found.
        """
        locator = self.find_logged(key, at)
        if at is None or locator is None:
            return locator  # nothing was erased behind the newest version
        return None if locator.revision < self._erased_at(key) else locator

    def find_logged(self, key: bytes, at: int | None = None) -> Locator | None:
        """Do as ``find`` does, but include erased versions that the index still has."""
        for delta in self.deltas:
            locator = delta.rows.get(key)
            if at is not None:
                locator = newest_at(locator, at)
            if locator is not None:
                return locator
        for index in self.indexes:
            locator = index.find(key, at)
            if locator is not None:
                return locator
        return None

    def finder(self) -> Callable[[bytes], Locator | None]:
        """Return a function that finds the newest version of a key, as ``find_logged`` does.

        Use it before the manifest changes.
        """
        is_one = len(self.deltas) == 1 and not self.indexes
        return self.active.rows.get if is_one else self.find_logged

    def versions(self, key: bytes) -> Iterator[Locator]:
        """Yield all versions of a key that are kept, newest first, back to an erasure."""
        for locator in self._logged_versions(key):
            yield locator
            if locator.kind == ERASE:
                return

    def _logged_versions(self, key: bytes) -> Iterator[Locator]:
        for delta in self.deltas:
            locator = delta.rows.get(key)
            while locator is not None:
                yield locator
                locator = locator.previous
        for index in self.indexes:
            yield from index.versions(key)

    def _erased_at(self, key: bytes) -> int:
        """Return the revision at which a key was erased last; 0 once nothing older is left."""
        for delta in self.deltas:
            revision = delta.erased.get(key)
            if revision is not None:
                return revision
        return self.manifest.erased.get(key, 0)

    def scan(
        self, start: bytes, at: int | None, *, reverse: bool = False
    ) -> Iterator[tuple[bytes, Locator]]:
        """Yield keys from ``start`` on (in reverse: below it) with their newest versions.

        Tombstones are among them, versions that were erased since are not.
        """
        found = self._scan_logged(start, at, reverse=reverse)
        erased = None if at is None else self.erased
        if not erased:
            return found
        return ((key, locator) for key, locator in found if locator.revision >= erased.get(key, 0))

    def _scan_logged(
        self, start: bytes, at: int | None, *, reverse: bool
    ) -> Iterator[tuple[bytes, Locator]]:
        sources: list[Delta | IndexFile] = [delta for delta in self.deltas if delta.rows]
        sources += self.indexes
        if len(sources) == 1:
            yield from sources[0].scan(start, at, reverse=reverse)
            return
        # In reverse the ages are negated, so that the newest source of a key still comes first.
        ages = range(0, -len(sources), -1) if reverse else range(len(sources))
        aged = [
            _aged(source.scan(start, at, reverse=reverse), age)
            for source, age in zip(sources, ages, strict=True)
        ]
        last_key: bytes | None = None
        for key, _, locator in heapq.merge(*aged, reverse=reverse):
            if key != last_key:
                last_key = key
                yield key, locator

    def read(self, key: bytes, locator: Locator) -> Record:
        """Return the record at a locator, verified.

        Raises:
            FileNotFoundError: compaction has moved it; follow the log and find it again.
            Damaged: the bytes are not that record.
        """
        return self.segment(segment_of(locator.position)).read(key, locator)

    def read_place(self, key: str, encoded: bytes, place: Place, *, may_wait: bool = True) -> Entry:
        """Return the value at a place that ``newest`` has returned, verified, in one pass.

        Args:
            key: of the value.
            encoded: the same in UTF-8.
            place: of the value.
            may_wait: for a disk; otherwise ``BlockingIOError`` is raised instead.

        Raises:
            FileNotFoundError: see ``read``.
            NotPlain: there is no such value, or a large one; ``find`` says what the key has.
        """
        revision, position, size, flags = place
        if flags & KIND_MASK not in VALUES or size > LARGE_VALUE_BYTES:
            raise NotPlain
        number = position >> OFFSET_BITS
        file = (self.segments.get(number) or self.segment(number)).file
        offset = position & OFFSET_MAX
        data = file.pread(size, offset) if may_wait else read_cached(file, size, offset)
        try:
            return decode_entry(data, key, encoded, revision)
        except BadRecord as ex:
            raise NotPlain from ex

    def read_places(
        self,
        keys: Sequence[str],
        encoded: Sequence[bytes],
        places: Sequence[Sequence[int]],
        *,
        may_wait: bool = True,
    ) -> list[Entry]:
        """Do as ``read_place`` does, for many keys; reading all before decoding takes less time.

        ``places`` are the revisions, positions, sizes and flags, a sequence of each.
        """
        entries: list[Entry] = []
        for start in range(0, len(keys), _AT_ONCE):
            part = slice(start, start + _AT_ONCE)
            revisions, positions, sizes, flags = [column[part] for column in places]
            kinds = {each & KIND_MASK for each in set(flags)}
            if max(sizes) > LARGE_VALUE_BYTES or not kinds <= _VALUES:
                raise NotPlain
            data = read_records(self._file, positions, sizes, may_wait=may_wait)
            try:
                entries += decode_entries(data, keys[part], encoded[part], revisions)
            except BadRecord as ex:
                raise NotPlain from ex
        return entries

    def read_entry(self, key: str, encoded: bytes, locator: Locator) -> Entry:
        """Return the value at a locator, verified; raises what ``read`` raises."""
        return self.segment(segment_of(locator.position)).read_entry(key, encoded, locator)

    def read_metadata(self, key: bytes, locator: Locator) -> Metadata:
        """Return the metadata of the value at a locator; raises what ``read`` raises."""
        if not may_have_metadata(key, locator):
            return NO_METADATA
        return self.segment(segment_of(locator.position)).read_metadata(key, locator)

    def peek(self, key: str, encoded: bytes, locator: Locator) -> Entry | LargeValue:
        """Do as ``read_entry`` does, but return a large value without its bytes."""
        return self.segment(segment_of(locator.position)).peek(key, encoded, locator)

    def commit_times(self, number: int) -> CommitTimes:
        """Return the commits of a segment of this view.

        Raises:
            FileNotFoundError: compaction has moved its records.
            Damaged: the segment is not what was written.
        """
        for delta in self.deltas:
            if delta.segment == number:
                return delta.times
        times = self.sealed_times.known(number)
        if times is None:
            [size] = [state.size for state in self.manifest.segments if state.number == number]
            times = self.sealed_times.read(self.segment(number), size)
        return times

    def segment(self, number: int) -> Segment:
        """Return a segment of this view; opens it at first use."""
        segment = self.segments.get(number)
        if segment is None:
            if len(self.segments) >= self._open_segments_max:
                self._close_half()
            # Two threads may both open it: the file that is not kept closes itself.
            segment = Segment.open(self._files, self._folder, number)
            self.segments[number] = segment
        return segment

    def _file(self, number: int) -> File:
        return self.segment(number).file

    def _close_half(self) -> None:
        """Close segments that were opened long ago, as soon as no read uses them.

        The active one stays open: a sync must go through the descriptor that wrote, or the kernel
        could report an error of the disk through another one.
        """
        active = self.active.segment
        opened = [number for number in list(self.segments) if number != active]
        for number in opened[: max(1, self._open_segments_max // 2)]:
            self.segments.pop(number, None)


def _aged(
    source: Iterator[tuple[bytes, Locator]], age: int
) -> Iterator[tuple[bytes, int, Locator]]:
    """Add an age to each pair.

    A generator expression in the caller's loop would see the last age only.
    """
    return ((key, age, locator) for key, locator in source)
