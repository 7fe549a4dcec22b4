"""Count the expired keys whose expiry is not in the log yet.

The totals of the head include such keys, so statistics must subtract them. To look at all of them
each time would cost more with every such key, and on a store that is served read-only their expiry
is never logged. So the counter looks at a key when its time comes, and again when its expiry is
logged. A key that has expired leaves the count in no other way, because a writer logs the expiry of
a value before it overwrites the value.

The count has two parts, as no process knows the time of the next commit: it may be before now.

* *settled*: keys that had expired by the time of the head. Every later commit has that time or a
  later one, so its writer sees that they have expired.
* *waiting*: keys that have expired since. When the head changes, they are counted anew.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np

from rundlet_server.storage.log.format.commit_page import CommitPage
from rundlet_server.storage.log.format.locator import Locator
from rundlet_server.storage.log.index.columns import ROW_MASK, TAG_SHIFT, key_tag, value_sizes
from rundlet_server.storage.log.index.delta import Delta
from rundlet_server.storage.log.index.expiry import RowNumbers
from rundlet_server.storage.log.index.file import IndexFile
from rundlet_server.storage.log.read.clock import SharedClock
from rundlet_server.storage.log.read.follower import Follower
from rundlet_server.storage.log.read.view import Head, View
from rundlet_server.storage.timeline import Moment

_FEW: Final = 1_000
"""Up to so many rows of an index file are looked up one by one; reading the whole file would take
longer."""


@dataclass(frozen=True, slots=True)
class Expired:
    """Keys that have expired, and the size of their values."""

    key_count: int = 0
    value_bytes: int = 0

    @classmethod
    def of(cls, locators: Iterable[Locator]) -> Expired:
        """Count values."""
        sizes = [locator.value_size for locator in locators]
        return cls(len(sizes), sum(sizes))

    def __add__(self, more: Expired) -> Expired:
        return Expired(self.key_count + more.key_count, self.value_bytes + more.value_bytes)

    def __sub__(self, less: Expired) -> Expired:
        return Expired(self.key_count - less.key_count, self.value_bytes - less.value_bytes)


class _Count(NamedTuple):
    """What has expired up to a time, of the keys at a head."""

    head: Head
    through_us: int
    expired: Expired


class ExpiredCounter:
    """Counts expired keys for one process. Any thread may use it."""

    def __init__(self, commit_page: CommitPage, follower: Follower, clock: SharedClock) -> None:
        self._commit_page = commit_page
        self._follower = follower
        self._clock = clock
        self._lock = threading.Lock()
        self._settled: _Count | None = None
        self._waiting: _Count | None = None

    def count(self) -> tuple[View, Head, Expired]:
        """Return a view, its head, and what has expired in it without a record of the expiry."""
        with self._lock:
            # Read before the view is taken, so that the view has every expiry up to it.
            logged_us = self._commit_page.expired_through_us
            view = self._follower.current()
            head = view.head
            settled = self._settled
            if settled is None or settled.head != head:
                settled = self._settled = _settle(settled, view, head, logged_us)
                self._waiting = None
            waiting = self._waiting or _Count(head, settled.through_us, Expired())
            now_us = max(self._clock.now_us(), waiting.through_us)
            came = _amount(view, head, waiting.through_us, now_us)
            waiting = self._waiting = _Count(head, now_us, waiting.expired + came)
            return view, head, settled.expired + waiting.expired


def expired_keys(view: View, at: Moment, after_us: int) -> list[str]:
    """Return the keys whose value at a moment expires after ``after_us`` and by that moment."""
    found = due(view, Head(*at, view.head.totals), after_us, at.time_us)
    return [key.decode() for key, _ in found]


def due(view: View, head: Head, after_us: int, through_us: int) -> Iterator[tuple[bytes, Locator]]:
    """Yield keys whose value at a head expires in (``after_us``, ``through_us``], once each."""
    return _due_of([*view.deltas, *view.indexes], view, head, after_us, through_us)


def _due_of(
    sources: Sequence[Delta | IndexFile], view: View, head: Head, after_us: int, through_us: int
) -> Iterator[tuple[bytes, Locator]]:
    for source in sources:
        for key, revision in source.expiring(after_us, through_us):
            locator = view.find_logged(key, head.revision)
            if locator is not None and locator.revision == revision:
                yield key, locator


def _settle(before: _Count | None, view: View, head: Head, logged_us: int) -> _Count:
    """Return what has expired up to the time of a head, from the count at an earlier head."""
    if before is None or logged_us >= before.through_us or not _holds_since(view, before.head):
        expired, after_us = Expired(), logged_us
    else:
        expired, after_us = before.expired - _logged(before, view, head), before.through_us
    return _Count(head, head.time_us, expired + _amount(view, head, after_us, head.time_us))


def _amount(view: View, head: Head, after_us: int, through_us: int) -> Expired:
    """Count what ``due`` yields; many rows of an index file all at once."""
    total = Expired()
    few: list[Delta | IndexFile] = [*view.deltas]
    for age, index in enumerate(view.indexes):
        rows = index.expiring_rows(after_us, through_us)
        if len(rows) > _FEW:
            total += _amount_of_many(view, head, age, rows)
        else:
            few.append(index)
    found = _due_of(few, view, head, after_us, through_us)
    return total + Expired.of(locator for _, locator in found)


def _amount_of_many(view: View, head: Head, age: int, rows: RowNumbers) -> Expired:
    """Count the rows of an index file that hold the value of their key at a head.

    The first row of each key does, unless a newer index file or a delta has the key. For most keys,
    the hashes rule this out; only the others are looked up, one by one.
    """
    index = view.indexes[age]
    columns = index.columns()
    is_due = np.zeros(columns.row_count, np.bool_)
    is_due[rows] = True
    words = columns.table[is_due[columns.table & ROW_MASK]]  # a word has the first row of a key
    tags = (words >> TAG_SHIFT).astype(np.int64)
    is_doubtful = np.zeros(len(tags), np.bool_)
    for newer in view.indexes[:age]:
        is_doubtful |= newer.has_tags(tags)
    for delta in view.deltas:
        is_doubtful |= np.isin(tags, np.array(list(map(key_tag, list(delta.rows))), np.int64))
    firsts = (words & ROW_MASK).astype(np.int64)
    is_due[:] = False
    is_due[firsts[~is_doubtful]] = True
    sizes = value_sizes(columns, np.flatnonzero(is_due))  # in the order in which they are in memory
    doubtful = ((index.key(row), row) for row in firsts[is_doubtful].tolist())
    found = ((view.find_logged(key, head.revision), row) for key, row in doubtful)
    return Expired(len(sizes), int(sizes.sum())) + Expired.of(
        locator
        for locator, row in found
        if locator is not None and locator.revision == columns.rows["revision"][row]
    )


def _holds_since(view: View, head: Head) -> bool:
    """Return whether a view can be read at an earlier head, and its deltas hold all since then."""
    indexed = max((s.last_revision for s in view.manifest.segments if s.is_indexed), default=0)
    return max(indexed, view.manifest.oldest_revision) <= head.revision <= view.head.revision


def _logged(before: _Count, view: View, head: Head) -> Expired:
    """Return what had expired at an earlier head, and whose expiry was logged since."""
    keys = {
        key for delta in view.deltas for key in delta.expired(before.head.revision, head.revision)
    }
    found = (view.find_logged(key, before.head.revision) for key in keys)
    return Expired.of(
        locator
        for locator in found
        if locator is not None and 0 < locator.expires_us <= before.through_us
    )
