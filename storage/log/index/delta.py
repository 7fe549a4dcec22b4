"""A delta: the index of one segment that no index file holds yet, kept in memory.

Every process fills its own deltas as it follows the log. One thread adds at a time (the
follower's); any thread reads without a lock. The number of records in a segment bounds its size.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence

from rundlet_server.storage.log.format.commit_times import CommitTimes
from rundlet_server.storage.log.format.locator import Locator, locator_of
from rundlet_server.storage.log.format.record import ERASE, EXPIRE, PUT


class Delta:
    """Locators by key, newest first through ``Locator.previous``.

    Attributes:
        segment: number of the segment whose records these are.
        offset: place in the segment up to which its frames have been added.
        record_count: records added.
        replaced_bytes: size of the added records that later ones have replaced.
        rows: the newest locator of each key.
        times: the commits added.
        erased: for each key erased in the segment, the revision of its last erasure.
    """

    def __init__(self, segment: int, offset: int) -> None:
        self.segment = segment
        self.offset = offset
        self.record_count = 0
        self.replaced_bytes = 0
        self.rows: dict[bytes, Locator] = {}
        self.times = CommitTimes()
        self.erased: dict[bytes, int] = {}
        self._expired: list[tuple[int, bytes]] = []
        self._expiring: list[tuple[int, int, bytes]] = []
        self._by_time: list[tuple[int, int, bytes]] = []
        self._sorted: list[bytes] = []

    def add(
        self,
        entries: Sequence[tuple[bytes, Locator]],
        commits: Iterable[tuple[int, int, int]] = (),
    ) -> None:
        """Add newer locators, oldest first, in front of the known locators of their keys.

        Args:
            entries: keys and locators.
            commits: of these records, see ``CommitTimes.add``.
        """
        self.times.add(commits)  # first: a reader that finds a locator looks up its time
        rows = self.rows
        for key, locator in entries:
            previous = rows.get(key)
            if previous is None:
                rows[key] = locator
            else:
                rows[key] = locator_of((*locator[:-1], previous))
                self.replaced_bytes += previous.size
            if locator.kind != PUT or locator.expires_us:
                self._note(key, locator)
        self.record_count += len(entries)

    def _note(self, key: bytes, locator: Locator) -> None:
        """Remember a record that expires, or an expiry or erasure that was logged."""
        if locator.expires_us:
            self._expiring.append((locator.expires_us, locator.revision, key))
        elif locator.kind == EXPIRE:
            self._expired.append((locator.revision, key))
        elif locator.kind == ERASE:
            self.erased[key] = locator.revision

    def find(self, key: bytes, at: int | None) -> Locator | None:
        """Return the newest locator of a key, or the newest of revision ``at`` or before."""
        return newest_at(self.rows.get(key), at)

    def scan(self, key: bytes, at: int | None, *, reverse: bool) -> Iterator[tuple[bytes, Locator]]:
        """Yield keys from ``key`` on, in reverse those below it, with what ``find`` returns."""
        keys = self.sorted_keys()
        start = bisect_left(keys, key)
        for place in range(start - 1, -1, -1) if reverse else range(start, len(keys)):
            locator = self.find(keys[place], at)
            if locator is not None:
                yield keys[place], locator

    def expiring(self, after_us: int, through_us: int) -> Iterator[tuple[bytes, int]]:
        """Yield key and revision of records whose expiry lies in (``after_us``, ``through_us``].

        Cheap if few records that expire were added since the last call.
        """
        known = self._by_time
        if len(known) != len(self._expiring):
            known = known + self._expiring[len(known) :]
            known.sort()
            self._by_time = known
        start = bisect_right(known, after_us, key=_first)
        for _, revision, key in known[start : bisect_right(known, through_us, key=_first)]:
            yield key, revision

    def expired(self, after: int, through: int) -> list[bytes]:
        """Return the keys whose expiry was logged at revisions in (``after``, ``through``]."""
        start = bisect_right(self._expired, after, key=_first)
        end = bisect_right(self._expired, through, key=_first)
        return [key for _, key in self._expired[start:end]]

    def sorted_keys(self) -> list[bytes]:
        """Return all keys in order; cheap if few keys came since the last call."""
        known = self._sorted
        if len(known) != len(self.rows):
            # A dict keeps the order of insertion, so the new keys are the last ones. To sort a
            # sorted list with a short tail is a merge.
            known = known + list(self.rows)[len(known) :]
            known.sort()
            self._sorted = known
        return known


def _first(fields: tuple[int, *tuple[int | bytes, ...]]) -> int:
    return fields[0]


def newest_at(locator: Locator | None, at: int | None) -> Locator | None:
    """Walk back to the newest locator of revision ``at`` or before."""
    if at is not None:
        while locator is not None and locator.revision > at:
            locator = locator.previous
    return locator
