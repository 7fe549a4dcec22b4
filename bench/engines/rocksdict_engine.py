"""RocksDB through rocksdict in raw mode: keys and values are bytes."""

# ``Engine`` describes the methods.
# ruff: noqa: D102

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path

from rocksdict import Options, Rdict, WriteBatch, WriteOptions

from bench.engines import Policy

_BATCH_ROWS = 10_000


class RocksdictEngine:
    """One database; unsynced writes still go to its log, as those of Rundlet do."""

    def __init__(self, folder: Path, policy: Policy) -> None:
        self._options = WriteOptions()
        self._options.sync = policy == "always"
        self._database = Rdict(str(folder), Options(raw_mode=True))
        self._database.set_write_options(self._options)

    def get(self, key: str) -> bytes | None:
        return self._database.get(key.encode())

    def get_all(self, keys: Sequence[str]) -> list[bytes | None]:
        found = self._database.get([key.encode() for key in keys])
        assert isinstance(found, list)
        return found

    def put(self, key: str, value: bytes) -> None:
        self._database[key.encode()] = value

    def put_all(self, rows: Iterable[tuple[str, bytes]]) -> None:
        remaining = iter(rows)
        while chunk := list(islice(remaining, _BATCH_ROWS)):
            batch = WriteBatch(raw_mode=True)
            for key, value in chunk:
                batch.put(key.encode(), value)
            self._database.write(batch, self._options)

    def scan(self, start: str, count: int) -> list[tuple[str, bytes]]:
        rows = self._database.items(from_key=start.encode())
        found = []
        for key, value in islice(rows, count):
            assert isinstance(key, bytes)  # always true in raw mode; its types do not say so
            found.append((key.decode(), value))
        return found

    def list_keys(self, start: str, count: int) -> list[str]:
        found = []
        for key in islice(self._database.keys(from_key=start.encode()), count):
            assert isinstance(key, bytes)  # as above
            found.append(key.decode())
        return found

    def close(self) -> None:
        self._database.close()


def open_engine(folder: Path, policy: Policy) -> RocksdictEngine:
    """See ``EngineKind.open``."""
    return RocksdictEngine(folder, policy)
