"""A delta: the index of one segment that no index file holds yet, kept in memory.

Every process fills its own deltas as it follows the log. One thread adds at a time (the
follower's); any thread reads without a lock. The number of records in a segment bounds its size.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence

from rundlet_server.storage.log.format.locator import Locator


class Delta:
    """Locators by key, newest first through ``Locator.previous``.

    Attributes:
        segment: number of the segment whose records these are.
        offset: place in the segment up to which its frames have been added.
        record_count: records added.
        rows: the newest locator of each key.
        expiring: (expiry time, key) of every record that expires.
    """

    def __init__(self, segment: int, offset: int) -> None:
        self.segment = segment
        self.offset = offset
        self.record_count = 0
        self.rows: dict[bytes, Locator] = {}
        self.expiring: list[tuple[int, bytes]] = []
        self._sorted: list[bytes] = []

    def add(self, entries: Sequence[tuple[bytes, Locator]]) -> None:
        """Put newer locators, oldest first, in front of those that are known of their keys."""
        rows = self.rows
        for key, locator in entries:
            previous = rows.get(key)
            if previous is None:
                rows[key] = locator
            else:
                rows[key] = Locator(*locator[:-1], previous)
            if locator.expires_us:
                self.expiring.append((locator.expires_us, key))
        self.record_count += len(entries)

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


def newest_at(locator: Locator | None, at: int | None) -> Locator | None:
    """Walk back to the newest locator of revision ``at`` or before."""
    if at is not None:
        while locator is not None and locator.revision > at:
            locator = locator.previous
    return locator
