"""Commits as a watch of all keys of a store sends them.

A watch sends every change in the order of commits and operations. The last change of a commit is
its slot, so the commit is whole when its slot comes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from rundlet_server.storage.etcd.layout import Layout, decode_envelope, decode_tombstone, end_of
from rundlet_server.storage.etcd.proto import rundlet_etcd_pb2 as pb
from rundlet_server.storage.interface import DEFAULT_CONTENT_TYPE
from rundlet_server.storage.timeline import Event


class CommitEvents(NamedTuple):
    """One commit: etcd's revision, its events with their values, and the bytes read for it."""

    revision: int
    events: list[Event]
    read_bytes: int


class CommitStream:
    """Builds commits from the answers to one watch."""

    def __init__(self, layout: Layout, base: int) -> None:
        self._layout = layout
        self._base = base
        self._begin()

    def request(self, since: int) -> pb.WatchRequest:
        """Return the request for all commits after a revision of etcd's."""
        root = self._layout.root
        create = pb.WatchCreateRequest(
            key=root, range_end=end_of(root), start_revision=since + 1, fragment=True
        )
        return pb.WatchRequest(create_request=create)

    def take(self, response: pb.WatchResponse) -> Iterator[CommitEvents]:
        """Yield the commits that are whole with this answer."""
        for change in response.events:
            kv = change.kv
            self._read_bytes += len(kv.key) + len(kv.value)
            if not kv.key.startswith(self._layout.slots):
                self._collect(change)
            elif change.type == pb.Event.PUT:
                yield CommitEvents(kv.mod_revision, self._whole(), self._read_bytes)
                self._begin()

    def _begin(self) -> None:
        self._events: list[Event] = []
        self._ends: dict[bytes, pb.KeyValue] = {}
        self._read_bytes = 0

    def _collect(self, change: pb.Event) -> None:
        """Add a change to the commit that it is part of."""
        layout, kv = self._layout, change.kv
        if kv.key.startswith(layout.tombs):
            self._ends[kv.key[len(layout.tombs) :]] = kv
        elif kv.key.startswith(layout.data):
            key = kv.key[len(layout.data) :].decode()
            revision = kv.mod_revision - self._base
            if change.type == pb.Event.DELETE:
                self._events.append(
                    Event(revision, 0, "delete", key, 0, 0, DEFAULT_CONTENT_TYPE, None, False)
                )
                return
            found = decode_envelope(kv)
            about = (found.content_type, found.expires_us)
            self._events.append(
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
                    metadata=found.metadata,
                )
            )

    def _whole(self) -> list[Event]:
        """Return the events of a commit, deletions with their kind and time.

        An erased key may have had no value; then only its tombstone shows the erasure.
        """
        events = self._events
        for number, event in enumerate(events):
            end = self._ends.get(event.key.encode())
            if end is not None:
                tombstone = decode_tombstone(end)
                events[number] = event._replace(kind=tombstone.kind, time_us=tombstone.time_us)
        if not events:
            events = [self._ended(key, kv) for key, kv in self._ends.items()]
        return events

    def _ended(self, key: bytes, kv: pb.KeyValue) -> Event:
        found = decode_tombstone(kv)
        about = (key.decode(), 0, 0, DEFAULT_CONTENT_TYPE, None)
        return Event(kv.mod_revision - self._base, found.time_us, found.kind, *about, is_last=False)
