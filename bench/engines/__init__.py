"""The embedded stores to compare: one adapter in each file, with the methods of ``Engine``.

An adapter imports its package at the top, so opening an engine whose package is not installed fails
there, with the name of the package.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, Protocol, runtime_checkable

from bench.errors import NotMeasurable

Policy = Literal["never", "interval", "always"]
"""When a write is synced to the disk: when the system decides, within a second, or before ``put``
returns."""


class Engine(Protocol):
    """A store in this process. When ``put`` returns, the value is as durable as the policy says."""

    def get(self, key: str) -> bytes | None:
        """Return the value of a key."""

    def get_all(self, keys: Sequence[str]) -> list[bytes | None]:
        """Return the values of many keys, from one snapshot if the engine has snapshots."""

    def put(self, key: str, value: bytes) -> None:
        """Store one value, in a transaction of its own."""

    def put_all(self, rows: Iterable[tuple[str, bytes]]) -> None:
        """Store many values, in as few transactions as the engine allows."""

    def close(self) -> None:
        """Close all files."""


@runtime_checkable
class OrderedEngine(Engine, Protocol):
    """An engine that keeps its keys in order."""

    def scan(self, start: str, count: int) -> list[tuple[str, bytes]]:
        """Return the first ``count`` keys from ``start`` on, in order, with their values."""

    def list_keys(self, start: str, count: int) -> list[str]:
        """Return the first ``count`` keys from ``start`` on, in order."""


@dataclass(frozen=True, slots=True)
class EngineKind:
    """An engine that may be installed.

    Attributes:
        name: as reports show it.
        module: in ``bench.engines``; it has ``open_engine(folder, policy)``.
        policies: the sync policies that it supports.
        is_ordered: it is an ``OrderedEngine``.
    """

    name: str
    module: str
    policies: tuple[Policy, ...] = ("never", "always")
    is_ordered: bool = True

    def open(self, folder: Path, policy: Policy) -> Engine:
        """Open a store in a folder; make the folder if it is missing.

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
# The benchmarks read the same few thousand keys again and again, so with its cache Rundlet would
# read nothing from the log.
OURS_UNCACHED: Final = EngineKind("rundlet, no cache", "rundlet_uncached_engine", ())
ENGINES: Final = (
    OURS,
    OURS_UNCACHED,
    EngineKind("lmdb, txn each", "lmdb_engine"),
    EngineKind("lmdb, one read txn", "lmdb_held_engine", ()),  # for questions without writes only
    EngineKind("rocksdict", "rocksdict_engine"),
    EngineKind("sqlite3", "sqlite_engine"),
    EngineKind("diskcache", "diskcache_engine", is_ordered=False),
    # sqlitedict sets synchronous=OFF itself, so durable writes cannot be compared with it.
    EngineKind("sqlitedict", "sqlitedict_engine", ("never",), is_ordered=False),
    EngineKind("dict + pread", "pread_engine", is_ordered=False),
)
BY_NAME: Final = {kind.name: kind for kind in ENGINES}
