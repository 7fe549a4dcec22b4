"""Reads of single keys that come at the same time share a call.

A call costs gRPC and etcd many times what a key in it does. So reads that come while a call is in
flight are gathered, and go together in the next one, a transaction that only reads:

1. A read that finds no call in flight goes at once, alone.
2. Every other read joins the batch that is being gathered. The first of a batch leads it.
3. The leader sends the batch when the last call in flight has ended, when the batch is full, or
   after ``WAIT_S``: a slow call, or a frozen node, must not hold up more than its own reads.

A batch takes no more reads once it is sent, and etcd answers with all that was committed by then.
So a read sees every commit that was acknowledged before it began.
"""

from __future__ import annotations

import threading
import time
from typing import Final, NamedTuple

from rundlet_server.storage.errors import StoreError, Unavailable
from rundlet_server.storage.etcd.cluster.calls import TXN
from rundlet_server.storage.etcd.cluster.client import PATIENCE_S, EtcdClient
from rundlet_server.storage.etcd.cluster.requests import OPS_MAX, all_of, answers, one
from rundlet_server.storage.etcd.proto import rundlet_etcd_pb2 as pb

WAIT_S: Final = 0.001
"""About as long as a call takes. On a slow network, reads then go in parallel after this time."""
ANSWER_BYTES_AIM: Final = 1024 * 1024
"""The keys of a call are as many as would fill so many bytes, judged by the last answer: a read of
a small value must not wait for many large ones."""


class Reading(NamedTuple):
    """What a key holds: the revision of etcd's at which it was read, and the answer."""

    revision: int
    answer: pb.RangeResponse


class _Batch:
    """Reads that share a call.

    Attributes:
        keys: each with its place in ``readings``.
        sent_by_s: after this time its call is repeated no more.
        readings: ``None`` until the call has ended, and if it did not answer.
        away: why no node answered.
        turn: locked until the leader is told to send the batch.
        done: locked by the leader until the call has ended.
    """

    def __init__(self) -> None:
        self.keys: dict[bytes, int] = {}
        self.sent_by_s = time.monotonic() + PATIENCE_S
        self.readings: list[Reading] | None = None
        self.away: Unavailable | None = None
        # An Event would make a lock for every thread that waits, and cost twice as much.
        self.turn, self.done = threading.Lock(), threading.Lock()
        self.turn.acquire()
        self.done.acquire()


class CombinedReads:
    """Reads keys at the head. Any thread may use it, of the process that made it."""

    def __init__(self, client: EtcdClient, *, wait_s: float = WAIT_S) -> None:
        self._client = client
        self._wait_s = wait_s
        self._lock = threading.Lock()
        self._gathering: _Batch | None = None  # only while a call is in flight
        self._in_flight = 0
        self._keys_max = OPS_MAX

    def read(self, key: bytes) -> Reading:
        """Read a key of etcd's, by a call of its own or by one that is shared.

        Raises:
            FailedCall: it was refused.
            Unavailable: no endpoint answered.
        """
        self._client.require_open()  # in a forked child the lock may be locked for ever
        with self._lock:
            batch, is_leader = self._enter(key)
        if batch is None:
            try:
                return self._alone(key)
            finally:
                self._end()
        if is_leader:
            self._lead(batch)
        else:
            with batch.done:
                pass
        if batch.readings is not None:
            return batch.readings[batch.keys[key]]
        if batch.away is not None:
            raise Unavailable(str(batch.away)) from batch.away
        return self._alone(key)  # the batch may have been refused because of another key

    def _enter(self, key: bytes) -> tuple[_Batch | None, bool]:
        """Return the batch that a read joins and whether it leads it; ``None``: it goes alone."""
        if not self._in_flight:
            self._in_flight = 1
            return None, False
        is_leader = self._gathering is None
        batch = self._gathering = self._gathering or _Batch()
        batch.keys.setdefault(key, len(batch.keys))
        if len(batch.keys) >= self._keys_max:
            self._send_next()
        return batch, is_leader

    def _send_next(self) -> None:
        """Tell the leader of the batch that is gathered to send it."""
        if self._gathering is not None:
            self._gathering.turn.release()
            self._gathering = None
            self._in_flight += 1

    def _lead(self, batch: _Batch) -> None:
        """Send a batch when its turn has come; whatever happens, end it."""
        try:
            try:
                batch.turn.acquire(timeout=self._wait_s)
            finally:
                with self._lock:
                    if self._gathering is batch:
                        self._send_next()
            self._call(batch)
        finally:
            self._end()
            batch.done.release()

    def _end(self) -> None:
        with self._lock:
            self._in_flight -= 1
            if not self._in_flight:
                self._send_next()

    def _call(self, batch: _Batch) -> None:
        """Read the keys of a batch; leaves ``readings`` empty if they are to be read one by one."""
        keys = list(batch.keys)
        patience_s = max(0.0, batch.sent_by_s - time.monotonic())
        try:
            if len(keys) == 1:
                batch.readings = [self._alone(keys[0], patience_s)]
                return
            request = all_of([one(key) for key in keys])
            response = self._client.read(TXN, request, patience_s=patience_s)
        except Unavailable as ex:
            batch.away = ex
        except StoreError:
            self._keys_max = max(1, len(keys) // 2)
        else:
            self._adapt(len(keys), response.ByteSize())
            revision = response.header.revision
            batch.readings = [Reading(revision, answer) for answer in answers(response)]

    def _alone(self, key: bytes, patience_s: float | None = None) -> Reading:
        response = self._client.range(one(key), patience_s=patience_s)
        self._adapt(1, response.ByteSize())
        return Reading(response.header.revision, response)

    def _adapt(self, key_count: int, answer_bytes: int) -> None:
        keys_max = key_count * ANSWER_BYTES_AIM // max(answer_bytes, 1)
        self._keys_max = min(max(keys_max, 1), OPS_MAX)
