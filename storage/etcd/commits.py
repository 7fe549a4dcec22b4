"""Commits: one transaction of etcd's each, exactly once.

1. Read what the keys of the transaction hold, all at one revision.
2. End the values among them that have expired, at a revision of their own; then read again.
3. Decide the conditions and what is written (``planning``).
4. Write it, and the counters in a slot of this writer (``slots``), on the condition that every key
   and the slot are as they were read. If one is not, begin again.
5. If no answer comes, the write may have been applied, and may still be applied later. Write the
   slot once more on the condition that it is unchanged: if that succeeds, the lost write can no
   longer be applied; if the slot holds what the lost write wrote, it was applied.

So the outcome is unknown only if the cluster does not answer for seconds after that.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Final

from rundlet_server.storage.errors import (
    Conflict,
    LimitExceeded,
    OutcomeUnknown,
    StoreError,
    Unavailable,
)
from rundlet_server.storage.etcd.cluster.client import PATIENCE_S, FailedCall
from rundlet_server.storage.etcd.cluster.requests import (
    OPS_MAX,
    REQUEST_BYTES_MAX,
    delete,
    fetch,
    put,
    unchanged,
)
from rundlet_server.storage.etcd.layout import (
    Tombstone,
    decode_envelope,
    encode_envelope,
    encode_size,
    encode_tombstone,
)
from rundlet_server.storage.etcd.outcomes import Memory, Outcomes
from rundlet_server.storage.etcd.planning import Change, Holding, Plan, Sources
from rundlet_server.storage.etcd.proto import rundlet_etcd_pb2 as pb
from rundlet_server.storage.etcd.reads import Reads
from rundlet_server.storage.etcd.slots import Counts, Slot, SlotPool, decode_slot
from rundlet_server.storage.etcd.views import Views, first_of
from rundlet_server.storage.interface import Limits, Txn
from rundlet_server.storage.outcomes.results import Commit

CONTENTION_S: Final = 10.0
"""A transaction whose keys others write all the time is given up after this."""
_PAUSE_S: Final = 0.002
_STRIPES: Final = 64


class Commits:
    """Commits of one process. Any thread may use it.

    Attributes:
        newest: etcd's revision of the newest commit made here.
    """

    def __init__(self, views: Views, reads: Reads, limits: Limits, sources: Sources) -> None:
        self._views = views
        self._reads = reads
        self._limits = limits
        self._sources = sources
        self._outcomes = Outcomes(views)
        self._pool = SlotPool(views.layout)
        self._stripes = [threading.Lock() for _ in range(_STRIPES)]
        self.newest = 0

    def commit(self, txn: Txn) -> Commit:
        """See ``Store.commit``; the transaction was checked."""
        keys = self._keys(txn)
        with self.stripe(keys):
            until_s = time.monotonic() + CONTENTION_S
            pause_s = _PAUSE_S
            while time.monotonic() < until_s:
                done = self._try(txn, keys)
                if done is not None:
                    return done
                time.sleep(random.uniform(0, pause_s))
                pause_s = min(pause_s * 2, 0.1)
        raise Unavailable("others wrote the same keys all the time; try again")

    def write(
        self,
        changes: Sequence[Change],
        held: Sequence[tuple[bytes, int]],
        time_us: int,
        memory: Memory | None = None,
    ) -> int | None:
        """Write changes as one commit.

        Args:
            changes: what to write.
            held: keys, and the revisions of etcd's at which they were last written, all of which
                must still be so.
            time_us: of the commit.
            memory: of its outcome, which no other commit may have written.

        Returns:
            The revision of the commit, etcd's; ``None`` if something has changed.

        Raises:
            LimitExceeded: the request is too large for etcd.
            DiskFull, Unavailable: certainly not applied.
            OutcomeUnknown: may have been applied.
        """
        slot = self._pool.take()
        counts = slot.counts.after(*_difference(changes), time_us)
        request = self._request(changes, held, slot, counts, memory)
        try:
            response = self._views.client.write(request)
        except FailedCall as ex:
            if ex.failure == "unknown":
                return self._decide(slot, counts)
            self._pool.give_back(slot)
            raise _refused(ex, request, self._limits, len(changes)) from None
        except StoreError:
            self._pool.give_back(slot)
            self._outcomes.end_lease()
            raise
        if response.succeeded:
            return self._written(slot, counts, response.header.revision)
        present = first_of(response.responses[0].response_range)
        if (present.mod_revision if present else 0) == slot.revision:
            self._pool.give_back(slot)
        return None

    def _try(self, txn: Txn, keys: Sequence[bytes]) -> Commit | None:
        """Do a transaction if nothing comes between; otherwise return ``None``."""
        head, holdings = self._holdings(keys)
        once, outcome_revision = txn.idempotency, 0
        if once is not None:
            done, outcome_revision = self._outcomes.done_before(once)
            if done is not None:
                return done
        views = self._views
        time_us = views.clock.now_us()
        plan = Plan(holdings, time_us, base=views.base, limits=self._limits, sources=self._sources)
        failed = plan.failed(txn.conditions)
        if failed and txn.otherwise is None:
            raise Conflict(failed)
        ops = txn.then if not failed else txn.otherwise or ()
        expired = plan.expired(ops)
        if expired:
            held = [(each.key, _revision(each.before)) for each in expired]
            self.write(expired, held, time_us)
            return None
        plan.add(ops)
        if not plan.changes:
            return Commit(not failed, head - views.base, tuple(plan.results))
        held = [(key, _revision(holdings.get(key))) for key in keys]
        commit = Commit(not failed, 0, tuple(plan.results))
        memory = None
        if once is not None:
            memory = self._outcomes.memory(once, commit, time_us, outcome_revision)
        revision = self.write(plan.changes, held, time_us, memory)
        return None if revision is None else commit._replace(revision=revision - views.base)

    def _keys(self, txn: Txn) -> list[bytes]:
        """Return every key whose value decides what is done."""
        ops = (*txn.then, *(txn.otherwise or ()))
        texts = [*(condition.key for condition in txn.conditions), *(op.key for op in ops)]
        keys = list(dict.fromkeys(text.encode() for text in texts))
        keys_max = OPS_MAX - (1 if txn.idempotency is None else 2)
        if len(keys) > keys_max:
            raise LimitExceeded("txn_ops_max", keys_max, len(keys))
        return keys

    def _holdings(self, keys: Sequence[bytes]) -> tuple[int, dict[bytes, Holding]]:
        """Return the head's revision, etcd's, and what keys hold there."""
        if not keys:
            return self._views.summary()[1], {}
        head, holdings = 0, {}
        for chunk, found in self._reads.chunks(keys, None):
            head = head or found.revision
            for key, answer in zip(chunk, found.answers, strict=True):
                kv = first_of(answer)
                if kv is not None:
                    envelope = decode_envelope(kv)
                    holdings[key] = Holding(kv.mod_revision, kv.version, envelope)
        return head, holdings

    def _request(
        self,
        changes: Sequence[Change],
        held: Sequence[tuple[bytes, int]],
        slot: Slot,
        counts: Counts,
        memory: Memory | None,
    ) -> pb.TxnRequest:
        """Return the request that writes changes and the slot.

        Raises:
            LimitExceeded: it is too large for etcd's default limit.
        """
        layout = self._views.layout
        compares = [unchanged(layout.data + key, revision) for key, revision in held]
        ops = [op for change in changes for op in self._ops(change, counts.time_us)]
        if memory is not None:
            compares.append(memory.is_free)
            ops.append(memory.write)
        room = OPS_MAX - 1 - len(ops)
        request = pb.TxnRequest(
            compare=[unchanged(slot.key, slot.revision), *compares],
            success=[
                *ops,
                *(delete(key) for key in self._stale(changes)[:room]),
                put(slot.key, counts.encode()),
            ],
            failure=[fetch(slot.key)],
        )
        if request.ByteSize() > REQUEST_BYTES_MAX:
            self._pool.give_back(slot)
            raise LimitExceeded("txn_bytes_max", REQUEST_BYTES_MAX, request.ByteSize())
        return request

    def _stale(self, changes: Sequence[Change]) -> list[bytes]:
        """Return the entries below ``x/`` that changes make obsolete.

        They may stay, so they are removed only if the request has room.
        """
        listed = self._views.layout.expiry
        written = {
            listed(each.envelope.expires_us, each.key)
            for each in changes
            if each.envelope is not None and each.envelope.expires_us is not None
        }
        present = {
            listed(each.before.envelope.expires_us, each.key)
            for each in changes
            if each.before is not None and each.before.envelope.expires_us is not None
        }
        return sorted(present - written)

    def _ops(self, change: Change, time_us: int) -> Iterator[pb.RequestOp]:
        layout = self._views.layout
        key, before, after, end = change
        if after is None:
            is_erased = end == "erase"
            tombstone = Tombstone(end, time_us, 0 if is_erased else _revision(before))
            yield delete(layout.data + key)
            yield put(layout.tombs + key, encode_tombstone(tombstone))
            if is_erased:
                yield put(layout.erased + key, b"")
            return
        yield put(layout.data + key, encode_envelope(after))
        if after.expires_us is not None:
            yield put(layout.expiry(after.expires_us, key), encode_size(len(after.value)))

    def _decide(self, slot: Slot, counts: Counts) -> int | None:
        """Find out whether a write was applied whose answer was lost; see the module.

        Raises:
            OutcomeUnknown: the cluster does not answer.
        """
        fence = slot.counts._replace(sequence=counts.sequence + 1)
        request = pb.TxnRequest(
            compare=[unchanged(slot.key, slot.revision)],
            success=[put(slot.key, fence.encode())],
            failure=[fetch(slot.key)],
        )
        until_s = time.monotonic() + PATIENCE_S
        while time.monotonic() < until_s:
            try:
                response = self._views.client.write(request)
            except StoreError:
                time.sleep(0.1)
                continue
            if response.succeeded:
                self._written(slot, fence, response.header.revision)
                return None
            present = first_of(response.responses[0].response_range)
            if present is None:
                break  # ``tidying`` has merged it into another one
            found = decode_slot(present)
            if found.sequence == counts.sequence:
                return self._written(slot, counts, present.mod_revision)
            self._written(slot, fence, present.mod_revision)
            return None
        raise OutcomeUnknown("etcd did not say whether it has applied the write")

    def _written(self, slot: Slot, counts: Counts, revision: int) -> int:
        slot.revision = revision
        slot.counts = counts
        self._pool.give_back(slot)
        self.newest = max(self.newest, revision)
        return revision

    @contextmanager
    def stripe(self, keys: Sequence[bytes]) -> Iterator[None]:
        """Keep threads of this process from writing a key at once: all but one would fail."""
        with ExitStack() as stack:
            for number in sorted({hash(key) % _STRIPES for key in keys}):
                stack.enter_context(self._stripes[number])
            yield


def _revision(holding: Holding | None) -> int:
    return 0 if holding is None else holding.revision


def _difference(changes: Sequence[Change]) -> tuple[int, int]:
    """Return by how many keys, and bytes of values, the store grows."""
    keys = value_bytes = 0
    for _, before, after, _ in changes:
        if before is not None:
            keys -= 1
            value_bytes -= len(before.envelope.value)
        if after is not None:
            keys += 1
            value_bytes += len(after.value)
    return keys, value_bytes


def _refused(
    ex: FailedCall, request: pb.TxnRequest, limits: Limits, change_count: int
) -> StoreError:
    """Return the error for a request that this cluster refuses; its limits may be lower."""
    if ex.failure == "too large":
        return LimitExceeded("txn_bytes_max", limits.txn_bytes_max, request.ByteSize())
    if ex.failure == "too many":
        return LimitExceeded("txn_ops_max", limits.txn_ops_max, change_count)
    return Unavailable(str(ex))
