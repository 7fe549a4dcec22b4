"""Exact counts: of a range of keys, and of the whole store.

etcd counts keys without sending them, and the slots have the counts of all. Both include values
that have expired and are not removed yet; those are few, are listed by their expiry, and are
subtracted here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from rundlet_server.storage.etcd.cluster.requests import OPS_MAX, counting, one, span
from rundlet_server.storage.etcd.layout import decode_envelope, decode_size
from rundlet_server.storage.etcd.proto import rundlet_etcd_pb2 as pb
from rundlet_server.storage.etcd.slots import sum_of
from rundlet_server.storage.etcd.views import Found, Views, first_of
from rundlet_server.storage.interface import Stats
from rundlet_server.storage.ranges import Range
from rundlet_server.storage.timeline import At, Moment


class Lapsed(NamedTuple):
    """A value that has expired and is not removed: its key, size, and entry below ``x/``."""

    key: bytes
    size: int
    listed: pb.KeyValue


class Counter:
    """Counts of one store."""

    def __init__(self, views: Views) -> None:
        self._views = views

    def count(self, wanted: Range, at: At | None) -> int:
        """See ``Store.count``."""
        data = self._views.layout.data
        low, high = data + wanted.low, data + wanted.high
        if low >= high:
            self._views.read(at, lambda _: [])
            return 0
        time_us = self._views.clock.now_us()

        def ranges(revision: int) -> list[pb.RangeRequest]:
            return [counting(low, high, revision=revision), self._due(time_us, revision)]

        found = self._views.read(at, ranges)
        total, due = found.answers
        inside = [
            kv
            for kv in due.kvs
            if wanted.low <= self._views.layout.expired_key(kv.key) < wanted.high
            and kv.key < self._views.layout.expiries_until(found.moment.time_us)[1]
        ]
        hidden = [key for key in found.hidden if wanted.low <= key < wanted.high]
        shown = int(total.count) - len(self.lapsed(inside, found.revision))
        return shown - self._count_live(hidden, found) if hidden else shown

    def _count_live(self, keys: list[bytes], found: Found) -> int:
        """Return how many of some keys had an unexpired value at the moment of a read."""
        count = 0
        for start in range(0, len(keys), OPS_MAX):
            requests = [
                one(self._views.layout.data + key, revision=found.revision)
                for key in keys[start : start + OPS_MAX]
            ]
            for answer in self._views.read_at(found.revision, requests):
                kv = first_of(answer)
                if kv is not None and not decode_envelope(kv).is_lapsed(found.moment.time_us):
                    count += 1
        return count

    def stats(self, oldest: Callable[[], int]) -> Stats:
        """See ``Store.stats``; ``oldest`` returns the oldest revision of etcd's."""
        time_us = self._views.clock.now_us()
        found = self._views.read(
            None, lambda revision: [self._views.slots(revision), self._due(time_us, revision)]
        )
        slots, due = found.answers
        summary = sum_of(slots.kvs)
        lapsed = self.lapsed(list(due.kvs), found.revision)
        return Stats(
            found.moment.revision,
            oldest() - self._views.base,
            summary.key_count - len(lapsed),
            summary.value_bytes - sum(each.size for each in lapsed),
        )

    def expired(self, after_us: int, at: Moment) -> list[str]:
        """See ``Timeline.expired``."""
        layout = self._views.layout
        low, high = layout.expiries_until(after_us)[1], layout.expiries_until(at.time_us)[1]
        if low >= high:
            return []
        found = self._views.read(at, lambda revision: [span(low, high, revision=revision)])
        lapsed = self.lapsed(list(found.answers[0].kvs), found.revision)
        return [each.key.decode() for each in lapsed if each.key not in found.hidden]

    def lapsed(self, listed: list[pb.KeyValue], revision: int) -> list[Lapsed]:
        """Return the values that are listed by their expiry and are still there.

        Args:
            listed: entries below ``x/``, as they are at the revision.
            revision: of etcd's.
        """
        layout = self._views.layout
        found = []
        for start in range(0, len(listed), OPS_MAX):
            chunk = listed[start : start + OPS_MAX]
            keys = [layout.expired_key(kv.key) for kv in chunk]
            requests = [one(layout.data + key, revision=revision) for key in keys]
            for request in requests:
                request.keys_only = True
            answers = self._views.read_at(revision, requests)
            for key, kv, answer in zip(keys, chunk, answers, strict=True):
                value = first_of(answer)
                if value is not None and value.mod_revision == kv.mod_revision:
                    found.append(Lapsed(key, decode_size(kv.value), kv))
        return found

    def _due(self, time_us: int, revision: int) -> pb.RangeRequest:
        return span(*self._views.layout.expiries_until(time_us), revision=revision)
