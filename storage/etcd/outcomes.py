"""Outcomes of commits: keys below ``o/``, written in the transaction of the commit.

etcd removes them: each is attached to a lease that ends after the outcome is forgotten. A lease
serves many outcomes, but not so many that their removal, which is one step of etcd's, takes long.
"""

from __future__ import annotations

import struct
import threading
import time
from typing import Final, NamedTuple

from rundlet_server.storage.errors import Damaged
from rundlet_server.storage.etcd.cluster.calls import LEASE_GRANT
from rundlet_server.storage.etcd.cluster.requests import one, put, unchanged
from rundlet_server.storage.etcd.proto import rundlet_etcd_pb2 as pb
from rundlet_server.storage.etcd.views import Views, first_of
from rundlet_server.storage.outcomes.idempotency import Idempotency
from rundlet_server.storage.outcomes.remembering import encode_outcome, replayed
from rundlet_server.storage.outcomes.results import Commit

_FORGOTTEN: Final = struct.Struct(">Q")
_LEASE_S: Final = 60
"""A lease serves the outcomes of so long ..."""
_LEASE_KEYS_MAX: Final = 1_000
"""... and so many of them."""


class _Lease(NamedTuple):
    lease_id: int
    keep_s: int
    granted_s: float


class Memory(NamedTuple):
    """An outcome to be written with its commit, if ``is_free`` holds."""

    is_free: pb.Compare
    write: pb.RequestOp


class Outcomes:
    """Outcomes of one store. Any thread may use it."""

    def __init__(self, views: Views) -> None:
        self._views = views
        self._lock = threading.Lock()
        self._lease: _Lease | None = None
        self._attached = 0

    def done_before(self, idempotency: Idempotency) -> tuple[Commit | None, int]:
        """Return the outcome that is remembered for a key, and etcd's revision of that key.

        Call this after the values that decide a transaction were read. Otherwise another process
        could do the same transaction in between, and it would be decided against its own writes.
        """
        kv = first_of(self._views.client.range(one(self._key(idempotency))))
        if kv is None:
            return None, 0
        try:
            (forgotten_s,) = _FORGOTTEN.unpack_from(kv.value)
        except struct.error as ex:
            place = kv.key.decode(errors="replace")
            raise Damaged(f"etcd:{place}", 0, f"this is no outcome: {ex}") from ex
        if forgotten_s * 1_000_000 <= self._views.clock.now_us():
            return None, kv.mod_revision
        data = kv.value[_FORGOTTEN.size :]
        done = replayed(data, idempotency, kv.mod_revision - self._views.base)
        return done, kv.mod_revision

    def memory(
        self, idempotency: Idempotency, commit: Commit, time_us: int, revision: int
    ) -> Memory:
        """Return the write that remembers a commit; ``revision`` is that of ``done_before``.

        Raises:
            LimitExceeded: see ``encode_outcome``.
            Unavailable, DiskFull: etcd grants no lease.
        """
        key = self._key(idempotency)
        data = _FORGOTTEN.pack(idempotency.forgotten_s(time_us))
        write = put(key, data + encode_outcome(idempotency, commit))
        write.request_put.lease = self._lease_id(idempotency.keep_s)
        return Memory(unchanged(key, revision), write)

    def end_lease(self) -> None:
        """Use another lease for the next outcome: a write may have failed as this one is gone."""
        with self._lock:
            self._lease = None

    def _key(self, idempotency: Idempotency) -> bytes:
        return self._views.layout.outcomes + idempotency.key

    def _lease_id(self, keep_s: int) -> int:
        with self._lock:
            lease, now_s = self._lease, time.monotonic()
            is_fresh = (
                lease is not None
                and lease.keep_s == keep_s
                and now_s < lease.granted_s + _LEASE_S
                and self._attached < _LEASE_KEYS_MAX
            )
            if lease is None or not is_fresh:
                # Long enough for the outcomes that are written in the last seconds of its use.
                request = pb.LeaseGrantRequest(TTL=keep_s + 2 * _LEASE_S)
                answer = self._views.client.read(LEASE_GRANT, request)
                lease = self._lease = _Lease(answer.ID, keep_s, now_s)
                self._attached = 0
            self._attached += 1
            return lease.lease_id
