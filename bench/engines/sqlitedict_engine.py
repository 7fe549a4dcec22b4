"""sqlitedict: a dict over SQLite, which writes in a thread of its own."""

# ``Engine`` describes the methods.
# ruff: noqa: D102

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from sqlitedict import SqliteDict  # type: ignore[import-untyped]

from bench.engines import Policy
from bench.errors import NotMeasurable


class SqlitedictEngine:
    """One file; values are stored as they are, not pickled."""

    def __init__(self, folder: Path) -> None:
        self._dict = SqliteDict(
            str(folder / "kv.sqlite"), journal_mode="WAL", encode=bytes, decode=bytes
        )

    def get(self, key: str) -> bytes | None:
        value: bytes | None = self._dict.get(key)
        return value

    def get_all(self, keys: Sequence[str]) -> list[bytes | None]:
        return [self._dict.get(key) for key in keys]

    def put(self, key: str, value: bytes) -> None:
        self._dict[key] = value
        self._dict.commit(blocking=True)  # otherwise the write is only queued when this returns

    def put_all(self, rows: Iterable[tuple[str, bytes]]) -> None:
        self._dict.update(rows)
        self._dict.commit(blocking=True)

    def close(self) -> None:
        self._dict.close()


def open_engine(folder: Path, policy: Policy) -> SqlitedictEngine:
    """See ``EngineKind.open``."""
    if policy != "never":
        raise NotMeasurable("sqlitedict turns syncing off itself")
    return SqlitedictEngine(folder)
