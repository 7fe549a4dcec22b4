"""The store as handlers use it: every operation carried out is counted."""

from __future__ import annotations

from collections.abc import Sequence

from rundlet_server.storage.counting.counters import OperationCounters
from rundlet_server.storage.errors import ReadOnly
from rundlet_server.storage.interface import Commit, Delete, Entry, Op, Snapshot, Store, Txn


class CountedStore:
    """Reads and writes of a store, counted; read-only on demand.

    One read key is one ``get``; a put, add, touch or restore one ``set``; a delete one
    ``delete``. They count once carried out, also when there was nothing to read or delete;
    what was refused does not count.

    Attributes:
        store: for everything that is not counted.
        counters: where the counts go.
        read_only: writes are refused.
    """

    def __init__(
        self, store: Store, counters: OperationCounters, *, read_only: bool = False
    ) -> None:
        self.store = store
        self.counters = counters
        self.read_only = read_only or store.info.read_only

    def get(self, key: str, at: int | None = None) -> Entry | None:
        """As ``Store.get``."""
        entry = self.store.get(key, at=at)
        self.counters.add("get")
        return entry

    def get_many(self, keys: Sequence[str], at: int | None = None) -> Snapshot:
        """As ``Store.get_many``."""
        snapshot = self.store.get_many(keys, at=at)
        self.counters.add("get", len(keys))
        return snapshot

    def commit(self, txn: Txn) -> Commit:
        """As ``Store.commit``.

        Raises:
            ReadOnly: also where only this server takes no writes.
        """
        self.require_writable()
        commit = self.store.commit(txn)
        self._count_ops(txn.then if commit.succeeded else txn.otherwise or ())
        return commit

    def require_writable(self) -> None:
        """Refuse a write before its body is read.

        Raises:
            ReadOnly: this server takes no writes.
        """
        if self.read_only:
            raise ReadOnly("this server takes no writes")

    def head_revision(self) -> int:
        """The revision of the last commit."""
        return self.store.get_many(()).revision

    def _count_ops(self, ops: Sequence[Op]) -> None:
        deletes = sum(isinstance(op, Delete) for op in ops)
        if deletes:
            self.counters.add("delete", deletes)
        if len(ops) > deletes:
            self.counters.add("set", len(ops) - deletes)
