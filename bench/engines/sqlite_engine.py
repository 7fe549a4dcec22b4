"""SQLite from the standard library, with a write-ahead log."""

# ``Engine`` describes the methods.
# ruff: noqa: D102

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from pathlib import Path

from bench.engines import Policy


class SqliteEngine:
    """One table, clustered by key."""

    def __init__(self, folder: Path, policy: Policy) -> None:
        self._connection = sqlite3.connect(folder / "kv.sqlite", isolation_level=None)
        self._connection.execute("PRAGMA journal_mode=WAL")
        self._connection.execute(f"PRAGMA synchronous={'FULL' if policy == 'always' else 'OFF'}")
        self._connection.execute(
            "CREATE TABLE IF NOT EXISTS kv (key TEXT PRIMARY KEY, value BLOB) WITHOUT ROWID"
        )

    def get(self, key: str) -> bytes | None:
        row = self._connection.execute("SELECT value FROM kv WHERE key=?", (key,)).fetchone()
        return row[0] if row else None

    def get_all(self, keys: Sequence[str]) -> list[bytes | None]:
        self._connection.execute("BEGIN")
        values = [self.get(key) for key in keys]
        self._connection.execute("COMMIT")
        return values

    def put(self, key: str, value: bytes) -> None:
        self._connection.execute("INSERT OR REPLACE INTO kv VALUES (?, ?)", (key, value))

    def put_all(self, rows: Iterable[tuple[str, bytes]]) -> None:
        self._connection.execute("BEGIN")
        self._connection.executemany("INSERT OR REPLACE INTO kv VALUES (?, ?)", rows)
        self._connection.execute("COMMIT")

    def scan(self, start: str, count: int) -> list[tuple[str, bytes]]:
        query = "SELECT key, value FROM kv WHERE key >= ? ORDER BY key LIMIT ?"
        return self._connection.execute(query, (start, count)).fetchall()

    def list_keys(self, start: str, count: int) -> list[str]:
        query = "SELECT key FROM kv WHERE key >= ? ORDER BY key LIMIT ?"
        return [key for (key,) in self._connection.execute(query, (start, count))]

    def close(self) -> None:
        self._connection.close()


def open_engine(folder: Path, policy: Policy) -> SqliteEngine:
    """See ``EngineKind.open``."""
    return SqliteEngine(folder, policy)
