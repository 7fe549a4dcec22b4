"""Which history is kept: etcd compacts by revision, for the whole cluster.

A compaction drops all versions that were overwritten or deleted before one revision. So history is
kept by time only (``keep_versions`` is 1), and for as long as the store with the longest retention
in the cluster needs: ``m/retention`` of each store says how long, and ``m/hold/`` has the revisions
that long reads need.

In each interval, one process compacts: the one that writes ``m/claim`` first.
"""

from __future__ import annotations

import json
import secrets
import struct
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from typing import Final

from rundlet_server.storage.errors import Compacted, InvalidRequest, StoreError, Unavailable
from rundlet_server.storage.etcd.cluster.calls import COMPACT, TXN
from rundlet_server.storage.etcd.cluster.client import FailedCall
from rundlet_server.storage.etcd.cluster.requests import (
    all_of,
    answers,
    delete,
    one,
    put,
    span,
    unchanged,
)
from rundlet_server.storage.etcd.layout import ROOT, Layout, end_of
from rundlet_server.storage.etcd.past import Past
from rundlet_server.storage.etcd.proto import rundlet_etcd_pb2 as pb
from rundlet_server.storage.etcd.views import Views, first_of
from rundlet_server.storage.past.holds import RemoteHold, release_all
from rundlet_server.storage.requests import check_retention
from rundlet_server.storage.timeline import Retention

DEFAULT: Final = Retention(keep_versions=1)
INTERVAL_S: Final = 60.0
_HOLD_S: Final = 3_600
_HOLD: Final = struct.Struct(">QQ")
_TOMBSTONES_AT_ONCE: Final = 100


class Keeping:
    """Keeps and drops history. Any thread may use it."""

    def __init__(self, views: Views, past: Past) -> None:
        self._views = views
        self._past = past
        self._meta = views.layout.meta
        self._abandoned: deque[bytes] = deque()

    def retention(self) -> Retention:
        """See ``Store.retention``."""
        kv = first_of(self._views.client.range(one(self._meta + b"retention")))
        return _decode(kv)

    def retain(self, retention: Retention) -> None:
        """See ``Store.retain``."""
        check_retention(retention)
        if retention.keep_versions != 1:
            raise InvalidRequest(
                f"keep_versions is {retention.keep_versions}; etcd keeps history by time only, so"
                " keep 1, and set keep_for_s"
            )
        text = json.dumps({"keep_for_s": retention.keep_for_s})
        self._write(put(self._meta + b"retention", text.encode()))

    def hold(self, revision: int, *, is_read_only: bool) -> RemoteHold[bytes]:
        """See ``Store.hold``; a hold that is left behind ends after an hour."""

        def take() -> bytes | None:
            key = None if is_read_only else self._take(revision)
            try:
                self._views.read(revision, lambda _: [])
            except BaseException:
                if key is not None:
                    self._release(key)
                raise
            return key

        return RemoteHold(take, self._release, self._abandoned)

    def release_abandoned(self) -> None:
        """End the holds of this process that their readers have abandoned."""
        release_all(self._abandoned, self._release)

    def compact(self, *, wait: bool) -> None:
        """Drop the history that no store of the cluster needs.

        Raises:
            Unavailable: etcd does not answer.
        """
        revision = self._droppable()
        if revision > self._views.oldest():
            request = pb.CompactionRequest(revision=revision, physical=wait)
            try:
                self._views.client.read(COMPACT, request)
            except FailedCall as ex:
                if ex.failure != "compacted":  # another process has just done it
                    raise Unavailable(f"etcd did not compact: {ex}") from ex
        oldest = self._views.oldest()
        for prefix in (self._views.layout.tombs, self._views.layout.erased):
            self._forget(prefix, oldest)

    def kept_for_s(self) -> float:
        """Return for how long the store with the longest retention in the cluster keeps history."""
        client = self._views.client
        requests = [one(layout.meta + b"retention") for layout in self._stores()]
        return max(_decode(first_of(client.range(request))).keep_for_s for request in requests)

    def compact_if_due(self) -> None:
        """Compact unless this, or another process, has done it in this interval.

        A claim that is further ahead than an interval comes from a clock that is wrong.
        """
        now_us = self._views.clock.now_us()
        key = self._meta + b"claim"
        kv = first_of(self._views.client.range(one(key)))
        if kv is not None and abs(now_us - int(kv.value)) < INTERVAL_S * 1_000_000:
            return
        claim = pb.TxnRequest(
            compare=[unchanged(key, kv.mod_revision if kv else 0)],
            success=[put(key, b"%d" % now_us)],
        )
        if self._views.client.write(claim).succeeded:
            self.compact(wait=False)

    def _droppable(self) -> int:
        """Return the revision, etcd's, up to which nothing but the newest values is needed."""
        now_us = self._views.clock.now_us()
        keep_for_s = 0.0
        held: list[int] = []
        for layout in self._stores():
            request = all_of(
                [
                    one(layout.meta + b"retention"),
                    span(layout.meta + b"hold/", end_of(layout.meta + b"hold/")),
                ]
            )
            kept, holds = answers(self._views.client.read(TXN, request))
            keep_for_s = max(keep_for_s, _decode(first_of(kept)).keep_for_s)
            for kv in holds.kvs:
                revision, until_us = _HOLD.unpack(kv.value)
                if until_us > now_us:
                    held.append(revision)
                elif layout.root == self._views.layout.root:
                    self._write(delete(kv.key))  # its process has died
        try:
            moment = self._past.moment(max(now_us - round(keep_for_s * 1_000_000), 0))
        except Compacted:
            return 0
        return min([self._views.base + moment.revision, *held])

    def _stores(self) -> Iterator[Layout]:
        """Yield every store in the cluster, ours among them."""
        low, high = ROOT, end_of(ROOT)
        while True:
            request = span(low, high, limit=1, keys_only=True)
            kv = first_of(self._views.client.range(request))
            if kv is None:
                return
            layout = Layout(kv.key[len(ROOT) :].partition(b"/")[0].decode())
            yield layout
            low = end_of(layout.root)

    def _forget(self, prefix: bytes, oldest: int) -> None:
        """Remove tombstones, or erasures, of values that can no longer be read."""
        request = span(prefix, end_of(prefix), limit=_TOMBSTONES_AT_ONCE, keys_only=True)
        request.max_mod_revision = oldest
        while True:
            kvs = self._views.client.range(request).kvs
            if not kvs:
                return
            self._views.client.read(
                TXN,
                pb.TxnRequest(
                    compare=[unchanged(kv.key, kv.mod_revision) for kv in kvs],
                    success=[delete(kv.key) for kv in kvs],
                ),
            )

    def _take(self, revision: int) -> bytes:
        key = self._meta + b"hold/" + secrets.token_hex(8).encode()
        until_us = self._views.clock.now_us() + _HOLD_S * 1_000_000
        value = _HOLD.pack(self._views.base + revision, until_us)
        with suppress(Unavailable):  # without room for it, the read goes on without a hold
            self._write(put(key, value))
        return key

    def _release(self, key: bytes) -> None:
        with suppress(StoreError):
            self._write(delete(key))

    def _write(self, op: pb.RequestOp) -> None:
        """Do a write that may be done twice."""
        self._views.client.read(TXN, pb.TxnRequest(success=[op]))


def _decode(kv: pb.KeyValue | None) -> Retention:
    if kv is None:
        return DEFAULT
    return Retention(1, float(json.loads(kv.value)["keep_for_s"]))
