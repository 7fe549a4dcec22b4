"""Rundlet's log store; every read verifies the value against its checksum."""

# ``Engine`` describes the methods.
# ruff: noqa: D102

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from bench.engines import Policy
from rundlet_server.storage.interface import Limits, Put, Store, Txn
from rundlet_server.storage.opening import open_log_store
from rundlet_server.storage.settings import StoreSettings

_OPS_MAX = Limits().txn_ops_max
_BATCH_BYTES = Limits().txn_bytes_max // 2


class RundletEngine:
    """The store with one operation in each transaction, or as many as its limit allows."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def get(self, key: str) -> bytes | None:
        entry = self.store.get(key)
        return entry.value if entry else None

    def get_all(self, keys: Sequence[str]) -> list[bytes | None]:
        return [entry and entry.value for entry in self.store.get_many(keys).entries]

    def put(self, key: str, value: bytes) -> None:
        self.store.commit(Txn([Put(key, value)]))

    def put_all(self, rows: Iterable[tuple[str, bytes]]) -> None:
        for batch in _batches(rows):
            self.store.commit(Txn([Put(key, value) for key, value in batch]))

    def scan(self, start: str, count: int) -> list[tuple[str, bytes]]:
        page = self.store.scan(start=start, limit=count, include_values=True)
        return [(info.key, info.entry.value) for info in page.keys if info.entry is not None]

    def list_keys(self, start: str, count: int) -> list[str]:
        return [info.key for info in self.store.scan(start=start, limit=count).keys]

    def close(self) -> None:
        self.store.close()


def open_engine(folder: Path, policy: Policy) -> RundletEngine:
    """See ``EngineKind.open``."""
    return RundletEngine(open_log_store(folder, StoreSettings(sync=policy)))


def _batches(rows: Iterable[tuple[str, bytes]]) -> Iterator[list[tuple[str, bytes]]]:
    batch: list[tuple[str, bytes]] = []
    size = 0
    for row in rows:
        if len(batch) == _OPS_MAX or size + len(row[1]) > _BATCH_BYTES:
            yield batch
            batch, size = [], 0
        batch.append(row)
        size += len(row[1])
    if batch:
        yield batch
