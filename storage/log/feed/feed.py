"""Reading the log forward from a revision.

Compaction keeps every record above ``oldest_revision``, in the order of the log, and the records of
a commit in one frame. So a reader that follows from there on misses nothing. The commit times of a
segment say in which frame the first commit above a revision is (``read.times``).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from rundlet_server.storage.errors import Damaged
from rundlet_server.storage.log.feed.page import Page
from rundlet_server.storage.log.format.frame import BadFrame
from rundlet_server.storage.log.format.segment import HEADER_SIZE
from rundlet_server.storage.log.read.follower import Follower
from rundlet_server.storage.log.read.times import place_of, require_kept
from rundlet_server.storage.log.read.view import View
from rundlet_server.storage.requests import require_reached
from rundlet_server.storage.timeline import Changes

_READ_SIZE: Final = 256 * 1024
"""A page of a thousand small values is about that large."""
_SCANNED_BYTES_MAX: Final = 64 * 1024 * 1024
"""A page ends after so much of the log, even if few of its records are wanted."""


class Feed:
    """The changes of a store, for one process. Any thread may use it."""

    def __init__(self, follower: Follower, *, answer_bytes_max: int) -> None:
        self._follower = follower
        self._answer_bytes_max = answer_bytes_max

    def changes(
        self,
        since: int,
        *,
        prefix: str = "",
        limit: int = 1_000,
        include_values: bool = False,
        until: int | None = None,
    ) -> Changes:
        """See ``Store.changes``."""

        def read(view: View) -> Changes:
            head = view.head.revision  # first of all: the log that is read goes at least as far
            _check_since(view, since, head)
            last = head if until is None else max(since, min(until, head))
            page = Page(
                since,
                last,
                prefix=prefix,
                limit=limit,
                include_values=include_values,
                bytes_max=self._answer_bytes_max,
                erased=view.erased,
            )
            self._fill(page, view, since, last)
            return Changes(page.events, page.reached, view.manifest.oldest_revision)

        return self._follower.read(read)

    def _fill(self, page: Page, view: View, since: int, last: int) -> None:
        """Read the log until the page is full or the last revision is on it."""
        if since >= last:
            return
        scanned = 0
        for size in _add_frames(page, view, since):
            scanned += size
            if page.is_full:
                return
            if scanned >= _SCANNED_BYTES_MAX:
                page.end_commit()
                return
        page.end_commit()
        page.reached = last


def _add_frames(page: Page, view: View, since: int) -> Iterator[int]:
    """Add frame after frame to a page; yield their sizes."""
    for number, start, end in _ranges(view, since):
        segment = view.segment(number)
        for frame in segment.frames(start, end, read_size=_READ_SIZE):
            try:
                page.add(frame)
            except BadFrame as ex:
                raise Damaged(segment.path, frame.offset, str(ex)) from ex
            yield frame.size


def _ranges(view: View, since: int) -> Iterator[tuple[int, int, int]]:
    """Yield segment, start and end of what comes after a revision, in log order."""
    place = place_of(view, since)
    if place is None:
        return
    first, start = place
    states = view.manifest.segments
    numbers = [state.number for state in states]
    for state in states[numbers.index(first) :]:
        end = view.active.offset if state is view.manifest.active else state.size
        yield state.number, start, end
        start = HEADER_SIZE


def _check_since(view: View, since: int, head: int) -> None:
    require_kept(view, since)
    require_reached(since, head)
