"""Reading the log forward from a revision.

Compaction keeps every record above ``oldest_revision``, in the order of the log, and the records of
a commit in one frame. So a reader that follows from there on misses nothing. The place of a
revision is a frame at or behind which all records above it are. The feed remembers the places where
its last pages ended: a reader that goes on finds its place at once. For another reader the feed
reads one segment from its start.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator
from typing import Final, NamedTuple

from rundlet_server.storage.errors import Compacted, Damaged
from rundlet_server.storage.log.feed.page import Page
from rundlet_server.storage.log.format.frame import BadFrame
from rundlet_server.storage.log.format.locator import offset_of, segment_of
from rundlet_server.storage.log.format.manifest import FILE_IS_MISSING
from rundlet_server.storage.log.format.segment import HEADER_SIZE
from rundlet_server.storage.log.read.answers import check_moment
from rundlet_server.storage.log.read.expired import expired_keys
from rundlet_server.storage.log.read.follower import Follower
from rundlet_server.storage.log.read.view import View
from rundlet_server.storage.requests import require_reached
from rundlet_server.storage.timeline import Changes, Moment

_PLACES_MAX: Final = 1_024
_READ_SIZE: Final = 256 * 1024
"""A page of a thousand small values is about that large."""
_SCANNED_BYTES_MAX: Final = 64 * 1024 * 1024
"""A page ends after so much of the log, even if few of its records are wanted."""


class _Place(NamedTuple):
    segment: int
    offset: int


class Feed:
    """The changes of a store, for one process. Any thread may use it."""

    def __init__(self, follower: Follower, *, answer_bytes_max: int) -> None:
        self._follower = follower
        self._answer_bytes_max = answer_bytes_max
        self._lock = threading.Lock()
        self._places: OrderedDict[int, _Place] = OrderedDict()

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
        view = self._follower.current()
        while True:
            head = view.head.revision  # before anything else: what is read goes at least as far
            _check_since(view, since, head)
            last = head if until is None else max(since, min(until, head))
            page = Page(
                since,
                last,
                prefix=prefix,
                limit=limit,
                include_values=include_values,
                bytes_max=self._answer_bytes_max,
            )
            try:
                self._fill(page, view, since, last)
            except FileNotFoundError as ex:
                generation = view.manifest.generation
                view = self._follower.reload()
                if view.manifest.generation == generation:
                    raise Damaged(str(ex.filename), 0, FILE_IS_MISSING) from ex
            else:
                return Changes(page.events, page.reached, view.manifest.oldest_revision)

    def head(self) -> int:
        """Return the revision of the last commit, whose place is remembered: who waits goes on."""
        view = self._follower.current()
        # In this order: the head is at least as far as the position. What comes after the head is
        # behind both.
        position = view.position
        head = view.head.revision
        self._remember(head, _Place(segment_of(position), offset_of(position)))
        return head

    def expired(self, after_us: int, at: Moment) -> list[str]:
        """See ``Store.expired``."""
        view = self._follower.current()
        check_moment(view, at)
        return expired_keys(view, at, after_us)

    def _fill(self, page: Page, view: View, since: int, last: int) -> None:
        """Read the log until the page is full or the last revision is on it."""
        if since >= last:
            return
        scanned = 0
        place = _Place(0, 0)
        for found, size in self._add_frames(page, view, since):
            place = found
            scanned += size
            if page.is_full or scanned >= _SCANNED_BYTES_MAX:
                break
        if not page.is_full:
            page.end_commit()
            if scanned < _SCANNED_BYTES_MAX:
                page.reached = last
        self._remember(page.reached, place)

    def _add_frames(self, page: Page, view: View, since: int) -> Iterator[tuple[_Place, int]]:
        """Add frame after frame; yield where the first frame is that may hold more, and sizes."""
        for number, start, end in self._ranges(view, since):
            segment = view.segment(number)
            for frame in segment.frames(start, end, read_size=_READ_SIZE):
                try:
                    if frame.revision > since:
                        page.add(frame)
                except BadFrame as ex:
                    raise Damaged(segment.path, frame.offset, str(ex)) from ex
                is_done = page.reached < frame.revision and page.is_full
                yield _Place(number, frame.offset + (0 if is_done else frame.size)), frame.size

    def _ranges(self, view: View, since: int) -> Iterator[tuple[int, int, int]]:
        """Yield segment, start and end of what has to be read, in log order."""
        place = self._places.get(since)
        active = view.manifest.active
        for state in view.manifest.segments:
            if state is not active and state.last_revision <= since:
                continue
            end = view.active.offset if state is active else state.size
            start = HEADER_SIZE
            if place is not None and place.segment == state.number and place.offset <= end:
                start = place.offset
            yield state.number, start, end

    def _remember(self, revision: int, place: _Place) -> None:
        if not place.segment:
            return
        with self._lock:
            self._places[revision] = place
            self._places.move_to_end(revision)
            if len(self._places) > _PLACES_MAX:
                self._places.popitem(last=False)


def _check_since(view: View, since: int, head: int) -> None:
    if since < view.manifest.oldest_revision:
        raise Compacted(view.manifest.oldest_revision)
    require_reached(since, head)
