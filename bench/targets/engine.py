"""Targets of the engine, alone and behind a server that imports or reads.

A ratio of times that has a lower bound is the other system's time to Rundlet's, so that more is
better, as with a rate.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from bench.results import Results
from bench.targets.keys import few_and_many
from bench.targets.model import Cell, Target

_UNCACHED: Final = "rundlet, no cache"
"""Cache hits would make reads look faster than they are."""
_PUT_US: Final = 15
_REPLAY_US: Final = 1.6
_INDEX_BYTES: Final = 80
_BYTES_A_READ: Final = 1
_SQLITE: Final = "sqlite3"


def engine(question: str, system: str, case: str = "") -> Cell:
    """Return the time of an operation of an engine."""
    return Cell(f"engine/{question}", system, "µs/op", case, is_less_better=True)


_ALONE: Final = (
    Target(
        "engine get, not cached, to lmdb, a transaction each",
        engine("get", "lmdb, txn each"),
        engine("get", _UNCACHED),
        least=0.5,
    ),
    Target(
        "engine get, not cached, to rocksdict",
        engine("get", "rocksdict"),
        engine("get", _UNCACHED),
        least=1.0,
    ),
    *(
        Target(
            f"time of an engine scan, {case}, to SQLite",
            engine("scan", _UNCACHED, case),
            engine("scan", _SQLITE, case),
            most=most,
        )
        for case, most in (("with values", 3.0), ("keys only", 1.5))
    ),
    Target(
        "engine put, batched, to lmdb in one transaction",
        engine("put_batch", "lmdb"),
        engine("put_batch", "rundlet"),
        least=0.9,
    ),
    Target(
        "engine put, unsynced, one by one",
        engine("put", "rundlet", "sync=never"),
        None,
        most=_PUT_US,
        unit="µs",
    ),
    Target(
        "replay after kill -9",
        Cell("engine/replay", "rundlet", "µs/record", is_less_better=True),
        None,
        most=_REPLAY_US,
        unit="µs/record",
    ),
    Target(
        "time of an import into a folder to SQLite in one transaction",
        Cell("engine/import", "rundlet", "s"),
        Cell("engine/import", _SQLITE, "s"),
        most=0.6,
    ),
)


def targets(results: Results) -> Iterator[Target]:
    """Yield all targets of the engine."""
    yield from _ALONE
    folder = Cell("http/import", "folder", "s", is_less_better=True)
    for server in ("waitress", "granian"):
        through = Cell("http/import", f"rundlet, {server}", "s", is_less_better=True)
        what = f"time of an import through {server} to one into a folder"
        yield Target(what, through, folder, most=1.5)
    yield from _memory(results)


def _memory(results: Results) -> Iterator[Target]:
    few, many = few_and_many(results, "http/memory")
    index = _of_worker("index file B/key", many)
    yield Target(f"index files, {many}", index, None, most=_INDEX_BYTES, unit="B/key")
    private, private_of_few = (_of_worker("private MB/worker", case) for case in (many, few))
    what = f"private memory of a worker, {many} to {few}"
    yield Target(what, private, private_of_few, most=1.25)
    for server in ("granian", "waitress"):
        for case in ("GET", "mget"):
            growth = Cell("http/growth", f"rundlet, {server}", "B/read", case)
            what = f"growth of private memory by {case}, {server}"
            yield Target(what, growth, None, most=_BYTES_A_READ, unit="B/read")


def _of_worker(figure: str, case: str) -> Cell:
    return Cell("http/memory", "rundlet, granian", figure, case)
