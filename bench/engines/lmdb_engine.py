"""LMDB through py-lmdb, with a transaction for every operation. LMDB keeps no checksums."""

# ``Engine`` describes the methods.
# ruff: noqa: D102

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path

import lmdb

from bench.engines import Policy

_MAP_BYTES = 64 * 1024**3  # this reserves address space, not memory


class LmdbEngine:
    """One environment."""

    def __init__(self, folder: Path, policy: Policy) -> None:
        is_synced = policy == "always"
        self._environment = lmdb.open(
            str(folder), map_size=_MAP_BYTES, sync=is_synced, metasync=is_synced
        )

    def get(self, key: str) -> bytes | None:
        with self._environment.begin() as txn:
            return txn.get(key.encode())

    def get_all(self, keys: Sequence[str]) -> list[bytes | None]:
        with self._environment.begin() as txn:
            return [txn.get(key.encode()) for key in keys]

    def put(self, key: str, value: bytes) -> None:
        with self._environment.begin(write=True) as txn:
            txn.put(key.encode(), value)

    def put_all(self, rows: Iterable[tuple[str, bytes]]) -> None:
        with self._environment.begin(write=True) as txn:
            for key, value in rows:
                txn.put(key.encode(), value)

    def scan(self, start: str, count: int) -> list[tuple[str, bytes]]:
        found: list[tuple[str, bytes]] = []
        with self._environment.begin() as txn, txn.cursor() as cursor:
            cursor.set_range(start.encode())
            for key, value in cursor:
                if len(found) == count:
                    break
                found.append((key.decode(), value))
        return found

    def list_keys(self, start: str, count: int) -> list[str]:
        with self._environment.begin() as txn, txn.cursor() as cursor:
            cursor.set_range(start.encode())
            return [key.decode() for key in islice(cursor.iternext(values=False), count)]

    def close(self) -> None:
        self._environment.close()


def open_engine(folder: Path, policy: Policy) -> LmdbEngine:
    """See ``EngineKind.open``."""
    return LmdbEngine(folder, policy)
