"""Reads at the head or at a moment, always at one revision of etcd's.

A revision of the store is etcd's minus the one at which the store was created, its *base*. Other
stores in the same cluster, and writes of our own that are no commits, make gaps.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import NamedTuple

from rundlet_server.storage.errors import Compacted, InvalidRequest
from rundlet_server.storage.etcd.cluster.calls import TXN
from rundlet_server.storage.etcd.cluster.client import EtcdClient, FailedCall
from rundlet_server.storage.etcd.cluster.combining import CombinedReads
from rundlet_server.storage.etcd.cluster.requests import all_of, answers, one, span
from rundlet_server.storage.etcd.layout import Layout, end_of
from rundlet_server.storage.etcd.proto import rundlet_etcd_pb2 as pb
from rundlet_server.storage.etcd.slots import Summary, sum_of
from rundlet_server.storage.timeline import At, Moment

Ranges = Callable[[int], Sequence[pb.RangeRequest]]
"""Returns the ranges to read, given the revision of etcd's to read at; 0 is the head."""


class StoreClock:
    """The time of one process; it never goes back behind a time that was seen."""

    def __init__(self, clock: Callable[[], int], time_us: int) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._time_us = time_us

    def now_us(self) -> int:
        """Return the time."""
        with self._lock:
            self._time_us = max(self._time_us, self._clock())
            return self._time_us

    def ahead_s(self) -> float:
        """Return how far this time is ahead of the machine's clock."""
        return max(self.now_us() - self._clock(), 0) / 1e6


class Found(NamedTuple):
    """What was read.

    Attributes:
        moment: of the read.
        revision: its revision in etcd.
        answers: in order.
        hidden: keys that were erased after it; the answers have them, but no read may show them.
    """

    moment: Moment
    revision: int
    answers: list[pb.RangeResponse]
    hidden: frozenset[bytes] = frozenset()


class Views:
    """Reads of one store."""

    def __init__(
        self, client: EtcdClient, layout: Layout, base: int, clock: Callable[[], int]
    ) -> None:
        """Read the time of the newest commit.

        Raises:
            Unavailable: no node answers.
        """
        self.client = client
        self.layout = layout
        self.base = base
        self._combined = CombinedReads(client)
        self._oldest = base
        summary, _ = self.summary()
        self.clock = StoreClock(clock, summary.time_us)

    def read(self, at: At | None, ranges: Ranges) -> Found:
        """Read at one moment.

        Raises:
            Compacted: the moment is no longer kept.
            InvalidRequest: it has not come yet.
        """
        if at is None:
            response = self.client.read(TXN, all_of(ranges(0)))
            revision = response.header.revision
            return Found(self._head(revision), revision, answers(response))
        revision = self.base + (at if isinstance(at, int) else at.revision)
        listed = self._erased_keys()
        if isinstance(at, Moment):
            erased, *found = self.read_at(revision, [listed, *ranges(revision)])
            return Found(at, revision, found, self._hidden(erased, revision))
        wanted = [listed, self.slots(revision), *ranges(revision)]
        erased, slots, *found = self.read_at(revision, wanted)
        moment = Moment(at, sum_of(slots.kvs).time_us)
        return Found(moment, revision, found, self._hidden(erased, revision))

    def read_one(self, at: At | None, key: bytes) -> tuple[Moment, pb.KeyValue | None]:
        """Read one key of etcd's, as ``read`` does; at the head it costs least."""
        if at is None:
            revision, answer = self._combined.read(key)
            return self._head(revision), first_of(answer)
        found = self.read(at, lambda revision: [one(key, revision=revision)])
        is_hidden = key[len(self.layout.data) :] in found.hidden
        return found.moment, None if is_hidden else first_of(found.answers[0])

    def read_at(self, revision: int, ranges: Sequence[pb.RangeRequest]) -> list[pb.RangeResponse]:
        """Read ranges that name a revision of etcd's.

        Raises:
            Compacted, InvalidRequest: as ``read``.
        """
        if revision < self.base:
            raise self.compacted()
        try:
            return answers(self.client.read(TXN, all_of(ranges)))
        except FailedCall as ex:
            if ex.failure == "compacted":
                raise self.compacted() from None
            if ex.failure == "future":
                raise self._not_reached(revision) from None
            raise

    def summary(self) -> tuple[Summary, int]:
        """Return all slots at the head, and the head's revision in etcd."""
        response = self.client.range(self.slots(0))
        return sum_of(response.kvs), response.header.revision

    def feed_head(self) -> tuple[Summary, int, dict[bytes, int]]:
        """Return what ``summary`` does, and the erased keys, whose earlier events must not show.

        Each key has etcd's revision of its erasure.
        """
        response = self.client.read(TXN, all_of([self.slots(0), self._erased_keys()]))
        slots, erased = answers(response)
        return sum_of(slots.kvs), response.header.revision, self._erasures(erased)

    def erased_at(self, key: bytes) -> int:
        """Return the revision, etcd's, at which a key was erased; 0 if it has nothing to hide."""
        kv = first_of(self.client.range(one(self.layout.erased + key)))
        return 0 if kv is None else int(kv.mod_revision)

    def _erased_keys(self) -> pb.RangeRequest:
        """Read the erased keys at the head, whatever the revision of the other reads."""
        erased = self.layout.erased
        return span(erased, end_of(erased), keys_only=True)

    def _erasures(self, response: pb.RangeResponse) -> dict[bytes, int]:
        start = len(self.layout.erased)
        return {kv.key[start:]: kv.mod_revision for kv in response.kvs}

    def _hidden(self, response: pb.RangeResponse, revision: int) -> frozenset[bytes]:
        if not response.kvs:
            return frozenset()
        erasures = self._erasures(response)
        return frozenset(key for key, erased in erasures.items() if erased > revision)

    def slots(self, revision: int) -> pb.RangeRequest:
        """Read all slots."""
        return span(self.layout.slots, end_of(self.layout.slots), revision=revision)

    def summary_at(self, revision: int) -> Summary:
        """Return all slots at a revision of etcd's.

        Raises:
            Compacted: it is no longer kept.
        """
        return sum_of(self.read_at(revision, [self.slots(revision)])[0].kvs)

    def oldest(self) -> int:
        """Return the oldest revision of etcd's that the store can be read at."""
        while True:
            try:
                self.client.range(pb.RangeRequest(key=self.layout.slots, revision=self._oldest))
            except FailedCall as ex:
                if ex.failure != "compacted":
                    raise
                self._oldest = max(self._oldest, self._compact_revision())
            else:
                return self._oldest

    def compacted(self) -> Compacted:
        """Return the error for a revision that is no longer kept."""
        oldest = self.oldest()
        return Compacted(oldest - self.base, self.summary_at(oldest).time_us)

    def _compact_revision(self) -> int:
        """Return the revision of the last compaction: a watch from before it is refused with it."""
        watch = pb.WatchCreateRequest(key=self.layout.slots, start_revision=1)
        requests = iter([pb.WatchRequest(create_request=watch)])
        with self.client.watch(requests, timeout_s=5) as responses:
            for response in responses:
                if response.compact_revision:
                    found: int = response.compact_revision
                    return found
        raise InvalidRequest("the history of the store was compacted while it was read; try again")

    def _head(self, revision: int) -> Moment:
        return Moment(revision - self.base, self.clock.now_us())

    def _not_reached(self, revision: int) -> InvalidRequest:
        _, head = self.summary()
        return InvalidRequest(
            f"revision {revision - self.base} does not exist yet; the head is {head - self.base}"
        )


def first_of(response: pb.RangeResponse) -> pb.KeyValue | None:
    """Return the only key of an answer; ``None`` if it has no value."""
    return response.kvs[0] if response.kvs else None
