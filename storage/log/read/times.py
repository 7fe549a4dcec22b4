"""Find the time of a commit and its place in the log, without reading the log.

Each segment has its commit times (``format.commit_times``), and the manifest has the last commit
of each sealed segment. So every question is a binary search among the segments, and another one
in one of them.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Sequence

import numpy as np

from rundlet_server.storage.errors import Compacted
from rundlet_server.storage.log.format.locator import OFFSET_BITS, Locator, segment_of
from rundlet_server.storage.log.format.manifest import SegmentState
from rundlet_server.storage.log.read.view import View
from rundlet_server.storage.requests import require_past
from rundlet_server.storage.timeline import Moment


def time_at(view: View, revision: int) -> int:
    """Return the time of the newest commit at or below a revision; 0 if there is none.

    Args:
        view: of the store.
        revision: one that can be read.
    """
    if revision >= view.head.revision:
        return view.head.time_us
    sealed = view.manifest.segments[:-1]
    place = bisect_left(sealed, revision, key=_last_revision)
    commit = view.commit_times(view.manifest.segments[place].number).newest_at(revision)
    time_us = sealed[place - 1].last_time_us if place else 0
    if commit is not None:
        time_us = commit.time_us
    oldest = view.manifest.oldest
    # Compaction may have removed commits up to the oldest revision, even the newest of them.
    return max(time_us, oldest.time_us) if revision >= oldest.revision else time_us


def moment_at(view: View, time_us: int, now_us: int) -> Moment:
    """Return the moment at a time.

    Raises:
        Compacted: the history no longer reaches back to it.
        InvalidRequest: it is after now.
    """
    require_past(time_us, now_us)
    revision = newest_by(view, time_us)
    if revision < view.manifest.oldest_revision:
        raise compacted(view)
    return Moment(revision, time_us)


def newest_by(view: View, time_us: int) -> int:
    """Return the revision of the newest commit at or before a time; 0 if there is none."""
    if time_us >= view.head.time_us:
        return view.head.revision
    sealed = view.manifest.segments[:-1]
    place = bisect_right(sealed, time_us, key=_last_time_us)
    commit = view.commit_times(view.manifest.segments[place].number).newest_by(time_us)
    revision = sealed[place - 1].last_revision if place else 0
    if commit is not None:
        revision = commit.revision
    oldest = view.manifest.oldest
    return max(revision, oldest.revision) if time_us >= oldest.time_us > 0 else revision


def time_of(view: View, locator: Locator) -> int:
    """Return the time of a locator's commit; raises what ``View.commit_times`` raises."""
    return view.commit_times(segment_of(locator.position)).time_of(locator.revision) or 0


def times_of(view: View, revisions: Sequence[int], positions: Sequence[int]) -> list[int]:
    """Return what ``time_of`` returns for many locators."""
    # ``array`` makes numbers of numpy from a list in a third of the time that numpy takes.
    wanted = np.frombuffer(array("Q", revisions), np.uint64)
    segments = np.frombuffer(array("Q", positions), np.uint64) >> np.uint64(OFFSET_BITS)
    times = np.zeros(len(wanted), np.uint64)
    for number in set(segments.tolist()):
        places = np.flatnonzero(segments == number)
        times[places] = view.commit_times(number).times_of(wanted[places])
    return times.tolist()


def compacted(view: View, *, restored_at: int | None = None) -> Compacted:
    """Return the error for a revision that is no longer kept, or that a restore left out."""
    oldest = view.manifest.oldest_revision
    return Compacted(oldest, time_at(view, oldest), restored_at=restored_at)


def require_kept(view: View, revision: int) -> None:
    """Refuse a revision whose state is not kept.

    Raises:
        Compacted: it is older than the history that is kept, or a restore has left it out.
    """
    restored_at = view.manifest.restored_below(revision)
    if revision < view.manifest.oldest_revision or restored_at is not None:
        raise compacted(view, restored_at=restored_at)


def place_of(view: View, since: int) -> tuple[int, int] | None:
    """Return segment and offset of the frame with the first commit above a revision.

    ``None`` if there is no such commit in the view. In a segment of copies, the frame may begin
    with records of earlier commits.
    """
    if since >= view.head.revision:
        return None
    states = view.manifest.segments
    place = bisect_right(states[:-1], since, key=_last_revision)
    for state in states[place:]:
        commit = view.commit_times(state.number).first_above(since)
        if commit is not None:
            return state.number, commit.offset
    return None


def _last_revision(state: SegmentState) -> int:
    return state.last_revision


def _last_time_us(state: SegmentState) -> int:
    return state.last_time_us
