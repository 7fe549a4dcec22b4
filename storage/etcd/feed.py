"""The feed: what was committed after a revision, read by a watch from there.

A watch of all keys of the store sends every change in the order of commits and operations. The
last change of a commit is its slot, so where a slot comes, the commit is whole.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from rundlet_server.storage.errors import InvalidRequest, Unavailable
from rundlet_server.storage.etcd.client import FailedCall
from rundlet_server.storage.etcd.layout import decode_envelope, decode_tombstone, end_of
from rundlet_server.storage.etcd.proto import rundlet_etcd_pb2 as pb
from rundlet_server.storage.etcd.views import Views
from rundlet_server.storage.interface import DEFAULT_CONTENT_TYPE, Limits
from rundlet_server.storage.timeline import Changes, Event

_STREAM_S: Final = 5.0
_ATTEMPTS: Final = 4
_SCANNED_BYTES_MAX: Final = 64 * 1024 * 1024
"""A page ends, even empty, once so many bytes were read for it."""


class _Commit(NamedTuple):
    """One commit: etcd's revision, its events, and the bytes that were read for it."""

    revision: int
    events: list[Event]
    read_bytes: int


class Feed:
    """The feed of one store. Any thread may use it."""

    def __init__(self, views: Views, limits: Limits) -> None:
        self._views = views
        self._limits = limits

    def changes(
        self, since: int, *, prefix: str, limit: int, include_values: bool, until: int | None
    ) -> Changes:
        """See ``Store.changes``."""
        base = self._views.base
        summary, head = self._views.summary()
        oldest = self._views.oldest()
        if since + base > head:
            raise InvalidRequest(f"revision {since} does not exist yet; the head is {head - base}")
        if since + base < oldest:
            raise self._views.compacted()
        last = head if until is None else max(since + base, min(head, until + base))
        page = _Page(self._limits, prefix, limit, include_values)
        end = min(last, summary.revision)
        for commit in self._commits(since + base, end):
            if commit.revision > last or not page.add(commit):
                return Changes(page.events, page.next_since or since, oldest - base)
            page.next_since = commit.revision - base
            if page.is_full():
                return Changes(page.events, page.next_since, oldest - base)
        return Changes(page.events, last - base, oldest - base)

    def _commits(self, since: int, end: int) -> Iterator[_Commit]:
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

    def _watched(self, since: int, end: int) -> Iterator[_Commit]:
        if since >= end:
            return
        root = self._views.layout.root
        create = pb.WatchCreateRequest(
            key=root, range_end=end_of(root), start_revision=since + 1, fragment=True
        )
        requests = iter([pb.WatchRequest(create_request=create)])
        events: list[Event] = []
        ends: dict[bytes, pb.KeyValue] = {}
        read_bytes = 0
        with self._views.client.watch(requests, timeout_s=_STREAM_S) as responses:
            for response in responses:
                if response.compact_revision:
                    raise self._views.compacted()
                for change in response.events:
                    kv = change.kv
                    read_bytes += len(kv.key) + len(kv.value)
                    if not kv.key.startswith(self._views.layout.slots):
                        self._collect(change, events, ends)
                        continue
                    yield _Commit(kv.mod_revision, self._whole(events, ends), read_bytes)
                    if kv.mod_revision >= end:
                        return
                    events, ends, read_bytes = [], {}, 0

    def _collect(
        self, change: pb.Event, events: list[Event], ends: dict[bytes, pb.KeyValue]
    ) -> None:
        """Add what a change means to the commit that it is part of."""
        layout, kv = self._views.layout, change.kv
        if kv.key.startswith(layout.tombs):
            ends[kv.key[len(layout.tombs) :]] = kv
        elif kv.key.startswith(layout.data):
            key = kv.key[len(layout.data) :].decode()
            revision = kv.mod_revision - self._views.base
            if change.type == pb.Event.DELETE:
                events.append(
                    Event(revision, 0, "delete", key, 0, 0, DEFAULT_CONTENT_TYPE, None, False)
                )
                return
            found = decode_envelope(kv)
            about = (found.content_type, found.expires_us)
            events.append(
                Event(
                    revision,
                    found.time_us,
                    found.kind,
                    key,
                    kv.version,
                    len(found.value),
                    *about,
                    is_last=False,
                    value=found.value,
                )
            )

    def _whole(self, events: list[Event], ends: dict[bytes, pb.KeyValue]) -> list[Event]:
        """Return the events of a commit, deletions with their kind and time."""
        for number, event in enumerate(events):
            end = ends.get(event.key.encode())
            if end is not None:
                tombstone = decode_tombstone(end)
                events[number] = event._replace(kind=tombstone.kind, time_us=tombstone.time_us)
        return events


class _Page:
    """A page of the feed that is being made.

    Attributes:
        events: on the page.
        next_since: of the last commit on it; ``None`` before the first.
    """

    def __init__(self, limits: Limits, prefix: str, limit: int, include_values: bool) -> None:
        self._prefix = prefix
        self._limit = limit
        self._has_values = include_values
        self._bytes_left = limits.answer_bytes_max
        self._scanned_bytes = 0
        self.events: list[Event] = []
        self.next_since: int | None = None

    def add(self, commit: _Commit) -> bool:
        """Add a whole commit if there is room for it; the first one always has room."""
        self._scanned_bytes += commit.read_bytes
        wanted = [event for event in commit.events if event.key.startswith(self._prefix)]
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
        return len(event.key.encode()) + (event.size if has_value else 0)
