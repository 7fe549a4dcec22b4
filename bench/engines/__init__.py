"""The embedded stores that are compared: one adapter a file, all with the methods of ``Engine``.

An adapter imports its package at its top, so that asking for an engine whose package is not
installed fails there, with the package's name.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, Protocol, runtime_checkable

from bench.errors import NotMeasurable

Policy = Literal["never", "interval", "always"]
"""When a write is on the disk: when the system likes, within a second, before it is answered."""


class Engine(Protocol):
    """A store in this process. What ``put`` has returned from is as durable as the policy says."""

    def get(self, key: str) -> bytes | None:
        """The value of a key."""

    def get_all(self, keys: Sequence[str]) -> list[bytes | None]:
        """The values of many keys, of one snapshot where the engine can."""

    def put(self, key: str, value: bytes) -> None:
        """Store one value, in a transaction of its own."""

    def put_all(self, rows: Iterable[tuple[str, bytes]]) -> None:
        """Store many values, in as few transactions as the engine allows."""

    def close(self) -> None:
        """Let go of all files."""


@runtime_checkable
class OrderedEngine(Engine, Protocol):
    """An engine that keeps its keys in order."""

    def scan(self, start: str, count: int) -> list[tuple[str, bytes]]:
        """The first so many keys from a key on, in order, with their values."""


@dataclass(frozen=True, slots=True)
class EngineKind:
    """An engine that may be installed.

    Attributes:
        name: as reports show it.
        module: of ``bench.engines``; it has ``open_engine(folder, policy)``.
        policies: it can keep.
        is_ordered: it is an ``OrderedEngine``.
    """

    name: str
    module: str
    policies: tuple[Policy, ...] = ("never", "always")
    is_ordered: bool = True

    def open(self, folder: Path, policy: Policy) -> Engine:
        """Open a store in a folder, which is made.

        Raises:
            NotMeasurable: the package is not installed.
        """
        try:
            module = importlib.import_module(f"bench.engines.{self.module}")
        except ImportError as ex:
            raise NotMeasurable(f"{self.name}: {ex}") from ex
        open_engine: Callable[[Path, Policy], Engine] = module.open_engine
        folder.mkdir(parents=True, exist_ok=True)
        return open_engine(folder, policy)


OURS: Final = EngineKind("rundlet", "rundlet_engine", ("never", "interval", "always"))
# The benchmarks read the same few thousand keys again and again: with its cache ours would only
# be asked for what it remembers.
OURS_UNCACHED: Final = EngineKind("rundlet, no cache", "rundlet_uncached_engine", ())
ENGINES: Final = (
    OURS,
    OURS_UNCACHED,
    EngineKind("lmdb, txn each", "lmdb_engine"),
    EngineKind("lmdb, one read txn", "lmdb_held_engine", ()),  # for reads of what is there only
    EngineKind("rocksdict", "rocksdict_engine"),
    EngineKind("sqlite3", "sqlite_engine"),
    EngineKind("diskcache", "diskcache_engine", is_ordered=False),
    # It sets synchronous=OFF by itself, so it cannot be compared where writes must be durable.
    EngineKind("sqlitedict", "sqlitedict_engine", ("never",), is_ordered=False),
    EngineKind("dict + pread", "pread_engine", is_ordered=False),
)
BY_NAME: Final = {kind.name: kind for kind in ENGINES}
