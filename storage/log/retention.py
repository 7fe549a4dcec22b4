"""Retention: which versions compaction may let go, and the time behind which.

Everything that was visible in the last ``keep_for_s`` seconds stays readable. The *horizon*
is the revision that was the head that long ago: a version is needed by no one any more when
a newer version of its key has a revision at or below the horizon.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator

import numpy as np

from storage.log.index_columns import KIND_MASK, OLDER, Columns, Flags
from storage.log.locator import Locator
from storage.log.record import DELETE, EXPIRE
from storage.log.view import View


class Horizon:
    """Remembers which revision was the head when, to find the horizon."""

    def __init__(self, keep_for_s: float) -> None:
        self._keep_for_us = round(keep_for_s * 1_000_000)
        self._samples: list[tuple[int, int]] = []

    def sample(self, view: View, now_us: int) -> None:
        """Note the head at this time; about a hundred samples span the time to keep."""
        step_us = self._keep_for_us // 100
        if not self._samples or now_us - self._samples[-1][0] >= step_us:
            self._samples.append((now_us, view.head.revision))
        while len(self._samples) > 1 and self._samples[1][0] <= now_us - self._keep_for_us:
            del self._samples[0]

    def revision(self, view: View, now_us: int) -> int:
        """The horizon: at most the revision that was the head ``keep_for_s`` ago."""
        then_us = now_us - self._keep_for_us
        if view.head.time_us <= then_us or self._keep_for_us == 0:
            return view.head.revision
        known = [(state.last_time_us, state.last_revision) for state in view.manifest.segments[:-1]]
        horizon = view.manifest.oldest_revision
        for samples in (known, self._samples):
            place = bisect_right(samples, then_us, key=lambda sample: sample[0])
            if place:
                horizon = max(horizon, samples[place - 1][1])
        return horizon


def kept_versions(
    versions: Iterable[Locator], *, oldest_revision: int, keep_versions: int
) -> Iterator[Locator]:
    """Of all versions found of a key, newest first, those that are still kept.

    Index files are merged a few at a time, so an older one may hold versions from before some
    that are gone already: the same rule as in ``needed_versions`` leaves them out.
    """
    newest, successor = None, None
    for number, locator in enumerate(versions):
        newest = newest or locator
        if successor is not None and successor.revision <= oldest_revision:
            is_counted = not newest.is_tombstone and number < keep_versions
            if not is_counted:
                return
        yield locator
        successor = locator


def needed_versions(columns: Columns, horizon: int, keep_versions: int) -> Flags:
    """One flag per row: false for versions that nobody can ask for any more.

    The newest version of every key is needed, also when it is a tombstone. Older ones are
    while nothing at or below the horizon has replaced them, and up to ``keep_versions`` as
    long as the key has a value.
    """
    rows = columns.rows[:-1]
    is_older = (rows["flags"] & OLDER) != 0
    successor = np.zeros(len(rows), np.uint64)
    successor[1:] = rows["revision"][:-1]
    numbers = np.arange(len(rows))
    first = np.maximum.accumulate(np.where(is_older, 0, numbers))
    is_gone = is_tombstone(columns)[first]
    is_counted = ~is_gone & (numbers - first < keep_versions)
    needed: Flags = ~is_older | (successor > np.uint64(horizon)) | is_counted
    return needed


def is_tombstone(columns: Columns) -> Flags:
    """One flag per row: whether it is a tombstone."""
    kinds = columns.rows["flags"][:-1] & KIND_MASK
    tombstones: Flags = (kinds == DELETE) | (kinds == EXPIRE)
    return tombstones
