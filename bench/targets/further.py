"""Targets of later features, and figures of earlier versions that must not get worse."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from bench.results import Results
from bench.scale import CORES
from bench.targets.engine import engine
from bench.targets.keys import few_and_many
from bench.targets.model import Cell, Target

_EVENTS_PER_S: Final = 200_000
_WAKE_UP_MS: Final = 20
_HISTORY_MS: Final = 5
_OPEN_MS: Final = 300


def targets(results: Results) -> Iterator[Target]:
    """Yield these targets; targets by layout or number of keys follow what was measured."""
    yield from (*_CLIENTS, *_BACKENDS)
    yield from _server_targets(results)
    yield from _latency_targets(results)
    yield from _ENGINE
    yield from _diff_targets(results)
    yield from _size_targets(results)


def _through(system: str, clients: int) -> Cell:
    return Cell("backends/get", system, "requests/s", f"{clients} clients")


_CLIENTS: Final = tuple(
    Target(
        f"reads of {system}, {case or 'one thread'}, to httpx alone, by processor time",
        Cell("http/python_client", system, "of httpx", case),
        None,
        least=0.9,
    )
    for system, case in (
        ("rundlet.Client", ""),
        ("rundlet.AsyncClient", "1 tasks"),
        ("rundlet.AsyncClient", "16 tasks"),
    )
)
_BACKENDS: Final = tuple(
    Target(
        f"GET of {clients} clients on {name}, Granian, to {other}",
        _through(f"rundlet on {name}, granian", clients),
        _through(other, clients),
        least=least,
    )
    for name, other, least in (
        ("etcd", "etcd, json gateway", 0.8),
        ("postgresql", "fastapi + psycopg", 0.7),
    )
    for clients in (16, 64)
)
_ENGINE: Final = (
    Target(
        "compaction to a copy of the same bytes",
        Cell("engine/maintenance", "rundlet, compaction", "MB/s"),
        Cell("engine/maintenance", "cp", "MB/s"),
        least=0.3,
    ),
    Target(
        "history of a key with 1,000 versions",
        Cell("engine/history", "rundlet", "ms", "history of 1,000 versions", is_less_better=True),
        None,
        most=_HISTORY_MS,
        unit="ms",
    ),
    Target(
        "events of the feed, a commit each",
        Cell("engine/changes", "rundlet", "events/s", "a put each"),
        None,
        least=_EVENTS_PER_S,
        unit="events/s",
    ),
    Target(
        "p99 from a commit to a wake-up in another process",
        Cell("engine/wait", "rundlet", "p99 ms", is_less_better=True),
        None,
        most=_WAKE_UP_MS,
        unit="ms",
    ),
    Target(
        "full backup to a copy of the same bytes",
        Cell("engine/backup", "rundlet, backup", "MB/s"),
        Cell("engine/backup", "cp", "MB/s"),
        least=0.5,
    ),
)


def _latency_targets(results: Results) -> Iterator[Target]:
    """Yield for each server the p99 of GET during other work, relative to that without it."""
    for system in results.of("http/latency").names(lambda case: case.system):
        if system.startswith("rundlet"):
            disturbed, alone = (
                Cell("http/latency", system, "p99 ms", case) for case in ("5 % puts", "no puts")
            )
            what = f"p99 of GET with 5 % durable PUT at a steady rate, {system}"
            yield Target(what, disturbed, alone, most=1.5)
    for system in results.of("http/maintenance").names(lambda case: case.system):
        disturbed, alone = (
            Cell("http/maintenance", system, "p99 ms", case) for case in ("backup", "idle")
        )
        yield Target(f"p99 of GET during a backup, {system}", disturbed, alone, most=1.5)


def _server_targets(results: Results) -> Iterator[Target]:
    """Yield the gain of a second server on an engine, and say what limits it.

    The load, the engine and the servers share the processor cores. If one server leaves no room for
    a second one, the second must only cost nothing.
    """
    found = results.of("backends/servers")
    for name in found.names(lambda case: case.case):
        two, one = (
            Cell("backends/servers", servers, "requests/s", name)
            for servers in ("two servers", "one server")
        )
        used = found.spread("backends/servers", name, "one server", "busy cores")
        is_full = used is not None and used.median > CORES / 2
        limit = (
            f"; with one, {used.median:.1f} of {CORES} cores are busy" if used and is_full else ""
        )
        what = f"two servers to one on {name}{limit}"
        yield Target(what, two, one, least=0.9 if is_full else 1.7)


def _diff_targets(results: Results) -> Iterator[Target]:
    """Yield the growth of the cost of the same changes from the fewest keys to the most."""
    names = results.of("engine/diff").names(lambda case: case.case)
    cases = [name for name in names if name.startswith("100 changes")]
    if len(cases) > 1:
        many, few = (engine("diff", "rundlet", case) for case in (cases[-1], cases[0]))
        yield _growth("cost of a diff", many, few)


def _size_targets(results: Results) -> Iterator[Target]:
    """Yield growth from the smallest number of keys that fills several segments to the largest."""
    few, many = few_and_many(results, "engine/open")
    opened = [Cell("engine/open", "rundlet", "ms to first get", case) for case in (many, few)]
    yield _growth("open to first get after kill -9", *opened)
    what = f"open to first get after kill -9, {many}"
    yield Target(what, opened[0], None, most=_OPEN_MS, unit="ms")
    for system in ("rundlet, waitress", "rundlet, granian"):
        started = [Cell("http/open", system, "s to first answer", case) for case in (many, few)]
        yield _growth(f"start to first answer after kill -9, {system}", *started)
    for work in ("get", "put"):
        cost = [engine("keys", f"rundlet, {work}", case) for case in (many, few)]
        yield _growth(f"cost of an engine {work}", *cost)


def _growth(what: str, many: Cell, few: Cell) -> Target:
    """Make a target for the growth of a cost from few keys to many."""
    return Target(f"{what}, {many.case} to {few.case}", many, few, most=1.5)
