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
"""Reading and encoding so many values takes less than a millisecond."""

REPLAYS: Final = "replays"
"""Counts repeated writes that got the answer of the first one and wrote nothing."""


@runtime_checkable
class _PeeksCached(Protocol):
    """A store that can refuse a read that would wait for a disk."""

    def peek_cached(self, key: str) -> Entry | LargeValue | None:
        """Do as ``Store.peek`` does; raise ``BlockingIOError`` instead of waiting."""


@runtime_checkable
class _GetsManyCached(Protocol):
    """A store that can refuse a read of many keys that would wait for a disk."""

    def get_many_cached(self, keys: Sequence[str], bytes_max: int) -> Snapshot:
        """Do as ``Store.get_many`` does; raise ``BlockingIOError`` instead of waiting.

        Raise it, too, if the values have more than ``bytes_max`` bytes together.
        """


class CountedStore:
    """A ``Store`` whose reads and writes are counted; read-only on demand.

    Each key that is read counts as a ``get``; each put, add, touch or restore as a ``set``; each
    delete as a ``delete``. An operation counts when it is done, even if there was nothing to read
    or delete; a refused one does not. The other methods count nothing.

    Attributes:
        info: of the store; ``read_only`` is true if the server or the store is read-only.
        store: the store without counting.
        counters: hold the counts.
        idempotency_s: how long the store remembers requests with an idempotency key, in seconds.
        waits: how requests wait for commits, and for slow reads.
        peek_now: does as ``Store.peek`` does for the newest value. If requests share a thread, it
            raises ``BlockingIOError`` instead of waiting for a disk.
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
        """Do as ``peek`` does without counting; other requests go on while a disk is slow."""
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
        """Return whether a key of any length may be read and deleted; this counts nothing."""
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
        """Return the newest values of a few keys for a request that shares its thread.

        Returns:
            ``None`` if the read could take long, or if the request has a thread of its own; the
            caller then uses ``get_many``.
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
            ReadOnly: the server or the store is read-only.
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
        """Refuse a request for a feature that the backend lacks.

        Raises:
            NotSupported: it lacks the feature.
        """
        require_feature(self.info, feature)

    def head_revision(self) -> int:
        """Return the revision of the last commit."""
        return self.store.get_many(()).revision

    def _count_ops(self, ops: Sequence[Op]) -> None:
        deletes = sum(isinstance(op, Delete) for op in ops)
        if deletes:
            self.counters.add("delete", deletes)
        if len(ops) > deletes:
            self.counters.add("set", len(ops) - deletes)
