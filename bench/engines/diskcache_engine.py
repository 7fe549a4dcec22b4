"""diskcache: a cache over SQLite, set to evict nothing."""

# ``Engine`` describes the methods.
# ruff: noqa: D102

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from diskcache import Cache  # type: ignore[import-untyped]

from bench.engines import Policy

_SYNCHRONOUS = {"never": 0, "always": 2}  # SQLite's OFF and FULL


class DiskcacheEngine:
    """One cache directory."""

    def __init__(self, folder: Path, policy: Policy) -> None:
        self._cache = Cache(
            str(folder),
            eviction_policy="none",
            size_limit=1 << 40,
            sqlite_synchronous=_SYNCHRONOUS[policy],
        )

    def get(self, key: str) -> bytes | None:
        value: bytes | None = self._cache.get(key)
        return value

    def get_all(self, keys: Sequence[str]) -> list[bytes | None]:
        return [self._cache.get(key) for key in keys]

    def put(self, key: str, value: bytes) -> None:
        self._cache.set(key, value)

    def put_all(self, rows: Iterable[tuple[str, bytes]]) -> None:
        with self._cache.transact():
            for key, value in rows:
                self._cache.set(key, value)

    def close(self) -> None:
        self._cache.close()


def open_engine(folder: Path, policy: Policy) -> DiskcacheEngine:
    """See ``EngineKind.open``."""
    return DiskcacheEngine(folder, policy)
