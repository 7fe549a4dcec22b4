"""The feed: what was committed after a revision.

New commits come from the watch that every process has (``watching``), older ones from a watch of
their own, which etcd begins to serve only every tenth of a second.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from rundlet_server.storage.errors import InvalidRequest, Unavailable
from rundlet_server.storage.etcd.cluster.client import FailedCall
from rundlet_server.storage.etcd.stream import CommitEvents, CommitStream
from rundlet_server.storage.etcd.views import Views
from rundlet_server.storage.etcd.watching import Watching
from rundlet_server.storage.interface import Limits
from rundlet_server.storage.metadata import metadata_bytes
from rundlet_server.storage.timeline import Changes, Event

_STREAM_S: Final = 5.0
_ATTEMPTS: Final = 4
_RECENT_S: Final = 2.0
_SCANNED_BYTES_MAX: Final = 64 * 1024 * 1024
"""A page ends, even empty, once so many bytes were read for it."""


class Feed:
    """The feed of one store. Any thread may use it."""

    def __init__(self, views: Views, limits: Limits, watching: Watching) -> None:
        self._views = views
        self._limits = limits
        self._watching = watching

    def changes(
        self, since: int, *, prefix: str, limit: int, include_values: bool, until: int | None
    ) -> Changes:
        """See ``Store.changes``."""
        base = self._views.base
        summary, head, erased = self._views.feed_head()
        oldest = self._views.oldest()
        if since + base > head:
            raise InvalidRequest(f"revision {since} does not exist yet; the head is {head - base}")
        if since + base < oldest:
            raise self._views.compacted()
        last = head if until is None else max(since + base, min(head, until + base))
        hidden = {key.decode(): revision - base for key, revision in erased.items()}
        page = _Page(self._limits, prefix, limit, include_values, hidden)
        end = min(last, summary.revision)
        for commit in self._commits(since + base, end):
            if commit.revision > last or not page.add(commit):
                return Changes(page.events, page.next_since or since, oldest - base)
            page.next_since = commit.revision - base
            if page.is_full():
                return Changes(page.events, page.next_since, oldest - base)
        return Changes(page.events, last - base, oldest - base)

    def _commits(self, since: int, end: int) -> Iterator[CommitEvents]:
        recent = None if since >= end else self._watching.recent(since, end, _RECENT_S)
        return self._older(since, end) if recent is None else iter(recent)

    def _older(self, since: int, end: int) -> Iterator[CommitEvents]:
        """Yield the commits after one revision up to another, both etcd's; repeat broken watches.

        Raises:
            Compacted: they are no longer kept.
            Unavailable: watches broke again and again.
        """
        for _ in range(_ATTEMPTS):
            try:
                for commit in self._watched(since, end):
                    yield commit
                    since = commit.revision
            except FailedCall:
                continue
            return
        raise Unavailable("the feed broke again and again; try again")

    def _watched(self, since: int, end: int) -> Iterator[CommitEvents]:
        """Yield the commits of one watch.

        Raises:
            Compacted: they are no longer kept.
            FailedCall: the watch ended before the last of them; a gateway may end it without error.
        """
        if since >= end:
            return
        stream = CommitStream(self._views.layout, self._views.base)
        requests = iter([stream.request(since)])
        with self._views.client.watch(requests, timeout_s=_STREAM_S) as responses:
            for response in responses:
                if response.compact_revision:
                    raise self._views.compacted()
                if response.canceled:
                    break
                for commit in stream.take(response):
                    yield commit
                    if commit.revision >= end:
                        return
            raise FailedCall("unknown", "the watch ended early")


class _Page:
    """A page of the feed that is being made.

    Attributes:
        events: on the page.
        next_since: of the last commit on it; ``None`` before the first.
    """

    def __init__(
        self,
        limits: Limits,
        prefix: str,
        limit: int,
        include_values: bool,
        hidden: Mapping[str, int],
    ) -> None:
        """Begin a page; ``hidden`` has the revisions before which keys are not to be shown."""
        self._hidden = hidden
        self._prefix = prefix
        self._limit = limit
        self._has_values = include_values
        self._bytes_left = limits.answer_bytes_max
        self._scanned_bytes = 0
        self.events: list[Event] = []
        self.next_since: int | None = None

    def add(self, commit: CommitEvents) -> bool:
        """Add a whole commit if there is room for it; the first one always has room."""
        self._scanned_bytes += commit.read_bytes
        wanted = [
            event
            for event in commit.events
            if event.key.startswith(self._prefix)
            and event.revision >= self._hidden.get(event.key, 0)
        ]
        size = sum(self._size(event, self._has_values) for event in wanted)
        is_too_much = len(self.events) + len(wanted) > self._limit or size > self._bytes_left
        if self.events and wanted and is_too_much:
            return False
        for number, event in enumerate(wanted, 1):
            shown = event._replace(is_last=number == len(wanted))
            if not self._has_values:
                shown = shown._replace(value=None)
            elif self._size(event, True) > self._bytes_left:
                is_omitted = event.kind in ("put", "restore")
                shown = shown._replace(value=None, is_value_omitted=is_omitted)
            self._bytes_left -= self._size(event, shown.value is not None)
            self.events.append(shown)
        return True

    def is_full(self) -> bool:
        """Return whether nothing more fits, or enough was read."""
        return len(self.events) >= self._limit or self._scanned_bytes >= _SCANNED_BYTES_MAX

    def _size(self, event: Event, has_value: bool) -> int:
        size = len(event.key.encode()) + metadata_bytes(event.metadata)
        return size + (event.size if has_value else 0)
