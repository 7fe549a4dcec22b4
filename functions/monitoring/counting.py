"""The store as handlers use it: every operation carried out is counted."""

from __future__ import annotations

import contextlib
import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Final, Protocol, runtime_checkable

from rundlet_server.functions.waits import IN_THREAD, Waits
from rundlet_server.storage.backups import Backups
from rundlet_server.storage.bounds import IDEMPOTENCY_S_DEFAULT
from rundlet_server.storage.counting.counters import OperationCounters
from rundlet_server.storage.errors import LimitExceeded, ReadOnly, StoreError
from rundlet_server.storage.interface import (
    Delete,
    Entry,
    Feature,
    Op,
    Row,
    Snapshot,
    Store,
    Txn,
)
from rundlet_server.storage.large_values import Admit, LargeValue
from rundlet_server.storage.outcomes.results import Commit
from rundlet_server.storage.requests import require_feature, restores
from rundlet_server.storage.timeline import At, Erased, Moment, Retention

_FEW_KEYS: Final = 256
_FEW_BYTES: Final = 128 * 1024
"""So many values are read, and encoded for an answer, in less than a millisecond."""

REPLAYS: Final = "replays"
"""Counts the writes that were answered as the first time, because they were done before."""


@runtime_checkable
class _PeeksCached(Protocol):
    """A store that knows whether it would have to wait for a disk."""

    def peek_cached(self, key: str) -> Entry | LargeValue | None:
        """Do as ``Store.peek`` does; raise ``BlockingIOError`` instead of waiting."""


@runtime_checkable
class _GetsManyCached(Protocol):
    """The same of many keys."""

    def get_many_cached(self, keys: Sequence[str], bytes_max: int) -> Snapshot:
        """Do as ``Store.get_many`` does; raise ``BlockingIOError`` instead of waiting.

        It does so, too, if the values have more than ``bytes_max`` bytes together.
        """


class CountedStore:
    """A ``Store`` whose reads and writes are counted; read-only on demand.

    One read key is one ``get``; a put, add, touch or restore one ``set``; a delete one
    ``delete``. They count once carried out, also when there was nothing to read or delete;
    what was refused does not count. What the other methods do is not counted.

    Attributes:
        info: of the store, as this server serves it.
        store: the same without counting.
        counters: where the counts go.
        idempotency_s: how long the outcomes of requests with an idempotency key are remembered.
        waits: how requests wait for commits, and for slow reads.
        peek_now: does as ``Store.peek`` does for the newest value. Where requests share a thread
            it raises ``BlockingIOError`` if the value may have to be waited for.
    """

    def __init__(
        self,
        store: Store,
        counters: OperationCounters,
        *,
        read_only: bool = False,
        idempotency_s: float = IDEMPOTENCY_S_DEFAULT,
        waits: Waits = IN_THREAD,
    ) -> None:
        is_read_only = read_only or store.info.read_only
        self.info = dataclasses.replace(store.info, read_only=is_read_only)
        self.store = store
        self.counters = counters
        self.waits = waits
        is_shared = waits is not IN_THREAD
        self.peek_now: Callable[[str], Entry | LargeValue | None] = (
            store.peek_cached if is_shared and isinstance(store, _PeeksCached) else store.peek
        )
        self._get_many_now = (
            store.get_many_cached if is_shared and isinstance(store, _GetsManyCached) else None
        )
        self.idempotency_s = math.ceil(idempotency_s)
        self.scan = store.scan
        self.count = store.count
        self.history = store.history
        self.expired = store.expired
        self.changes = store.changes
        self.retention = store.retention
        self.hold = store.hold
        self.stats = store.stats
        self.gauges = store.gauges
        self.health = store.health
        self.finish_load = store.finish_load
        self.sync = store.sync
        self.close = store.close

    @property
    def read_only(self) -> bool:
        """Whether writes are refused."""
        return self.info.read_only

    @property
    def backups(self) -> Backups:
        """See ``Store.backups``."""
        self.require("backup")
        return self.store.backups

    def get(self, key: str, *, at: At | None = None) -> Entry | None:
        """See ``Store.get``."""
        if at is not None:
            self.require("history")
        entry = self.store.get(key, at=at)
        self.counters.add("get")
        return entry

    def peek(self, key: str, *, at: At | None = None) -> Entry | LargeValue | None:
        """See ``Store.peek``."""
        if at is not None:
            self.require("history")
        found = self.peek_uncounted(key, at)
        self.counters.add("get")
        return found

    def peek_uncounted(self, key: str, at: At | None = None) -> Entry | LargeValue | None:
        """Do as ``peek`` does, and let others go on while a disk is slow."""
        if at is None:
            with contextlib.suppress(BlockingIOError):
                return self.peek_now(key)
        return self.waits.work(lambda: self.store.peek(key, at=at))

    def get_version(self, key: str, version: int) -> Entry | LargeValue | None:
        """See ``Store.get_version``."""
        self.require("history")
        found = self.waits.work(lambda: self.store.get_version(key, version))
        self.counters.add("get")
        return found

    def moment(self, time_us: int) -> Moment:
        """See ``Store.moment``."""
        self.require("history")
        return self.store.moment(time_us)

    def accepts_key(self, key: str) -> bool:
        """Return whether a key, of any length, may be read and deleted; this does not count."""
        try:
            self.store.peek(key)
        except LimitExceeded:
            return False
        except StoreError:
            return True  # the value cannot be read, but it is there
        return True

    def get_many(
        self, keys: Sequence[str], *, at: At | None = None, admit: Admit | None = None
    ) -> Snapshot:
        """See ``Store.get_many``."""
        if at is not None:
            self.require("history")
        snapshot = self.store.get_many(keys, at=at, admit=admit)
        self.counters.add("get", len(keys))
        return snapshot

    def get_many_now(self, keys: Sequence[str]) -> Snapshot | None:
        """Return the newest values of few keys for a request that shares its thread.

        ``None`` if that could take long, or if the request has a thread: then ``get_many`` does it.
        """
        if self._get_many_now is None or len(keys) > _FEW_KEYS:
            return None
        try:
            snapshot = self._get_many_now(keys, _FEW_BYTES)
        except BlockingIOError:
            return None
        self.counters.add("get", len(keys))
        return snapshot

    def commit(self, txn: Txn) -> Commit:
        """See ``Store.commit``.

        Raises:
            ReadOnly: also where only this server takes no writes.
        """
        self.require_writable()
        if restores(txn):
            self.require("history")
        commit = self.waits.commit(self.store, txn)
        if commit.is_replay:
            self.counters.shared.add(REPLAYS)
        else:
            self._count_ops(txn.then if commit.succeeded else txn.otherwise or ())
        return commit

    def wait(self, since: int, timeout_s: float) -> int:
        """See ``Store.wait``."""
        return self.store.wait(since, timeout_s)

    def load(self, rows: Sequence[Row]) -> None:
        """See ``Store.load``."""
        self.require_writable()
        self.require("bulk_load")
        self.store.load(rows)
        self.counters.add("set", len(rows))

    def compact(self, *, wait: bool = False) -> None:
        """See ``Store.compact``."""
        self.require_writable()
        self.require("compaction")
        self.store.compact(wait=wait)

    def retain(self, retention: Retention) -> None:
        """See ``Store.retain``."""
        self.require_writable()
        self.require("retention")
        self.store.retain(retention)

    def erase(self, key: str, *, wait_s: float = 0) -> Erased:
        """See ``Store.erase``."""
        self.require_writable()
        self.require("erase")
        return self.store.erase(key, wait_s=wait_s)

    def require_writable(self) -> None:
        """Refuse a write before its body is read.

        Raises:
            ReadOnly: this server takes no writes.
        """
        if self.read_only:
            raise ReadOnly("this server takes no writes")

    def require(self, feature: Feature) -> None:
        """Refuse what the backend cannot do.

        Raises:
            NotSupported: it lacks the feature.
        """
        require_feature(self.info, feature)

    def head_revision(self) -> int:
        """The revision of the last commit."""
        return self.store.get_many(()).revision

    def _count_ops(self, ops: Sequence[Op]) -> None:
        deletes = sum(isinstance(op, Delete) for op in ops)
        if deletes:
            self.counters.add("delete", deletes)
        if len(ops) > deletes:
            self.counters.add("set", len(ops) - deletes)
