"""LMDB with one read transaction held open: the fastest reads, of a snapshot that gets old."""

# ``Engine`` describes the methods.
# ruff: noqa: D102

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from bench.engines import Policy
from bench.engines.lmdb_engine import LmdbEngine


class LmdbHeldEngine(LmdbEngine):
    """Like its base, but ``get`` reads the state after the last ``put_all``."""

    def __init__(self, folder: Path, policy: Policy) -> None:
        super().__init__(folder, policy)
        self._txn = self._environment.begin()

    def get(self, key: str) -> bytes | None:
        return self._txn.get(key.encode())

    def put_all(self, rows: Iterable[tuple[str, bytes]]) -> None:
        super().put_all(rows)
        self._txn.abort()
        self._txn = self._environment.begin()

    def close(self) -> None:
        self._txn.abort()
        super().close()


def open_engine(folder: Path, policy: Policy) -> LmdbHeldEngine:
    """See ``EngineKind.open``."""
    return LmdbHeldEngine(folder, policy)
