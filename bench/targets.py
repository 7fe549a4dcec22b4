"""The targets, ratios within one run on one machine, and the verdicts on them.

Each ratio compares two systems of the same repeat; its median over the repeats decides.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from bench.results import Results, Spread
from bench.scale import CORES

_BATCH_KEYS_PER_S: Final = 300_000
_EVENTS_PER_S: Final = 200_000
_WAKE_UP_MS: Final = 20
_HISTORY_MS: Final = 5


@dataclass(frozen=True, slots=True)
class Cell:
    """A figure of a system in a case, or the best figure of several systems.

    Attributes:
        question: the name of the benchmark's file.
        system: the name of the system, or the beginning of the names of several systems.
        figure: the name of the figure.
        case: of the question; empty if it has only one.
        is_less_better: true for times and sizes.
    """

    question: str
    system: str
    figure: str
    case: str = ""
    is_less_better: bool = False

    def values(self, results: Results) -> dict[int, float]:
        """Return the figure by the number of the repeat; empty if it was not measured."""
        best: dict[int, float] = {}
        choose: Callable[[float, float], float] = min if self.is_less_better else max
        for found in results.cases:
            if (
                found.question == self.question
                and found.system.startswith(self.system)
                and self.case in ("", found.case)
                and self.figure in found.figures
            ):
                value = found.figures[self.figure]
                best[found.repeat] = choose(value, best.get(found.repeat, value))
        return best


@dataclass(frozen=True, slots=True)
class Target:
    """The bound of a ratio, or of a figure that has nothing to compare with.

    Attributes:
        what: the ratio in words.
        ours: the numerator.
        other: the denominator; ``None`` if the figure itself counts.
        least: the lower bound, or ``None``.
        most: the upper bound, or ``None``.
        unit: of a figure that is not a ratio.
    """

    what: str
    ours: Cell
    other: Cell | None
    least: float | None = None
    most: float | None = None
    unit: str = "times"


@dataclass(frozen=True, slots=True)
class Verdict:
    """A target and the measured value; ``None`` if it was not measured."""

    target: Target
    measured: Spread | None

    @property
    def is_reached(self) -> bool | None:
        """Whether the median reaches the target; ``None`` if it was not measured."""
        if self.measured is None:
            return None
        target = self.target
        if target.least is not None:
            return self.measured.median >= target.least
        return target.most is not None and self.measured.median <= target.most


def judge(results: Results) -> list[Verdict]:
    """Return a verdict on every target, in order."""
    return [Verdict(target, _measured(results, target)) for target in all_targets(results)]


def _measured(results: Results, target: Target) -> Spread | None:
    ours = target.ours.values(results)
    if target.other is None:
        return Spread.of(list(ours.values())) if ours else None
    others = target.other.values(results)
    ratios = [value / others[repeat] for repeat, value in ours.items() if others.get(repeat)]
    return Spread.of(ratios) if ratios else None


def all_targets(results: Results) -> list[Target]:
    """Return all targets; those by number of keys use the numbers that were measured."""
    others = (*_latency_targets(results), *_import_targets(results))
    sizes = (*_diff_targets(results), *_size_targets(results))
    backends = (*_BACKENDS, *_server_targets(results))
    return [*_HTTP, *_CLIENTS, *backends, *others, *_ENGINE, *sizes]


def _get(system: str) -> Cell:
    return Cell("http/get", system, "requests/s", "uniform")


def _put(system: str) -> Cell:
    return Cell("http/put", system, "requests/s", "sync=always")


def _engine(question: str, system: str, case: str = "") -> Cell:
    return Cell(f"engine/{question}", system, "µs/op", case, is_less_better=True)


def _through(system: str, clients: int) -> Cell:
    return Cell("backends/get", system, "requests/s", f"{clients} clients")


_GRANIAN: Final = "rundlet, granian"
_HTTP: Final = (
    Target(
        "GET, Granian, to Falcon over a dict on Granian",
        _get(_GRANIAN),
        _get("falcon + dict, granian"),
        least=0.85,
    ),
    Target("GET, Granian, to Redis behind Webdis", _get(_GRANIAN), _get("redis"), least=1.0),
    Target("GET, Granian, to FastAPI + SQLite", _get(_GRANIAN), _get("fastapi + sqlite"), least=8),
    Target("GET, Granian, to nginx, constant", _get(_GRANIAN), _get("nginx"), least=0.5),
    Target(
        "GET, waitress, to Falcon over a dict on waitress",
        _get("rundlet, waitress"),
        _get("falcon + dict, waitress"),
        least=0.9,
    ),
    Target("durable PUT to FastAPI + SQLite", _put("rundlet"), _put("fastapi + sqlite"), least=3),
    Target("durable PUT to etcd", _put("rundlet"), _put("etcd"), least=1.0),
    Target("durable PUT to Redis behind Webdis", _put("rundlet"), _put("redis"), least=0.8),
    Target(
        "mget of 100 keys, CBOR",
        Cell("http/mget", "rundlet", "keys/s"),
        None,
        least=_BATCH_KEYS_PER_S,
        unit="keys/s",
    ),
)
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
        f"GET of {clients} clients on {engine}, Granian, to {other}",
        _through(f"rundlet on {engine}, granian", clients),
        _through(other, clients),
        least=least,
    )
    for engine, other, least in (
        ("etcd", "etcd, json gateway", 0.8),
        ("postgresql", "fastapi + psycopg", 0.7),
    )
    for clients in (16, 64)
)
_ENGINE: Final = (
    # For times the ratio is the other's to Rundlet's, so that a larger ratio is always better.
    # Reads use the engine without its cache: cache hits would make it look faster than it is.
    Target(
        "engine get, not cached, to lmdb, a transaction each",
        _engine("get", "lmdb, txn each"),
        _engine("get", "rundlet, no cache"),
        least=1.0,
    ),
    Target(
        "engine get, not cached, to rocksdict",
        _engine("get", "rocksdict"),
        _engine("get", "rundlet, no cache"),
        least=1.5,
    ),
    Target(
        "engine put, unsynced, to rocksdict",
        _engine("put", "rocksdict", "sync=never"),
        _engine("put", "rundlet", "sync=never"),
        least=1.0,
    ),
    Target(
        "engine put, batched, to lmdb in one transaction",
        _engine("put_batch", "lmdb"),
        _engine("put_batch", "rundlet"),
        least=1.0,
    ),
    Target(
        "time of an import to SQLite in one transaction",
        Cell("engine/import", "rundlet", "s"),
        Cell("engine/import", "sqlite3", "s"),
        most=1.0,
    ),
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
    """Yield for every layout the p99 of GET during other work, relative to that without it."""
    for system in results.of("http/latency").names(lambda case: case.system):
        if system.startswith("rundlet"):
            disturbed, alone = (
                Cell("http/latency", system, "p99 ms", case) for case in ("5 % puts", "no puts")
            )
            yield Target(f"p99 of GET with 5 % durable PUT, {system}", disturbed, alone, most=1.5)
    for system in results.of("http/maintenance").names(lambda case: case.system):
        for work in ("checkpoint", "compaction"):
            disturbed, alone = (
                Cell("http/maintenance", system, "p99 ms", case) for case in (work, "idle")
            )
            yield Target(f"p99 of GET during {work}, {system}", disturbed, alone, most=2.0)
        disturbed, alone = (
            Cell("http/maintenance", system, "p99 ms", case) for case in ("backup", "idle")
        )
        yield Target(f"p99 of GET during a backup, {system}", disturbed, alone, most=1.5)


def _import_targets(results: Results) -> Iterator[Target]:
    """Yield for every layout the time of an import through it, relative to one into a folder."""
    systems = results.of("http/import").names(lambda case: case.system)
    folder = Cell("http/import", "folder", "s", is_less_better=True)
    for system in systems:
        if system != folder.system:
            through = Cell("http/import", system, "s", is_less_better=True)
            what = f"time of an import to one into a folder, {system}"
            yield Target(what, through, folder, most=1.5)


def _server_targets(results: Results) -> Iterator[Target]:
    """Yield the gain of a second server on an engine, and say what limits it.

    The load, the engine and the servers share the processor cores. If one server leaves no room for
    a second one, the second must only cost nothing.
    """
    found = results.of("backends/servers")
    for engine in found.names(lambda case: case.case):
        two, one = (
            Cell("backends/servers", name, "requests/s", engine)
            for name in ("two servers", "one server")
        )
        used = found.spread("backends/servers", engine, "one server", "busy cores")
        is_full = used is not None and used.median > CORES / 2
        limit = (
            f"; with one, {used.median:.1f} of {CORES} cores are busy" if used and is_full else ""
        )
        what = f"two servers to one on {engine}{limit}"
        yield Target(what, two, one, least=0.9 if is_full else 1.7)


def _diff_targets(results: Results) -> Iterator[Target]:
    """Yield the growth of the cost of the same changes from the fewest keys to the most."""
    names = results.of("engine/diff").names(lambda case: case.case)
    cases = [name for name in names if name.startswith("100 changes")]
    if len(cases) > 1:
        diffs = [_engine("diff", "rundlet", case) for case in (cases[-1], cases[0])]
        yield _growth("cost of a diff", diffs, most=1.5)


def _size_targets(results: Results) -> Iterator[Target]:
    """Yield growth from the smallest number of keys that fills several segments to the largest."""
    few, many = _first_and_last(results.of("engine/open").names(lambda case: case.case))
    open_ms = [Cell("engine/open", "rundlet", "ms to first get", case) for case in (many, few)]
    yield _growth("open to first get after kill -9", open_ms, most=1.5)
    yield Target(f"open to first get after kill -9, {many}", open_ms[0], None, most=300, unit="ms")
    waitress = [
        Cell("http/open", "rundlet, waitress", "s to first answer", case) for case in (many, few)
    ]
    yield _growth("start to first answer after kill -9", waitress, most=1.5)
    layout = f"rundlet, granian {CORES}x4"
    yield Target(
        f"index files, {many}",
        Cell("http/memory", layout, "index file B/key", many),
        None,
        most=80,
        unit="B/key",
    )
    private = [Cell("http/memory", layout, "private MB/worker", case) for case in (many, few)]
    yield _growth("private memory of a worker", private, most=1.25)
    for work in ("get", "put"):
        cost = [_engine("keys", f"rundlet, {work}", case) for case in (many, few)]
        yield _growth(f"cost of an engine {work}", cost, most=1.5)


def _growth(what: str, cells: Sequence[Cell], *, most: float) -> Target:
    """Make a target for the growth from few keys, the second cell, to many, the first."""
    many, few = cells
    return Target(f"{what}, {many.case} to {few.case}", many, few, most=most)


def _first_and_last(cases: Sequence[str]) -> tuple[str, str]:
    """Return the numbers of keys to compare: 100,000 if it was measured, and the largest."""
    usual = "100,000 keys"
    if not cases:
        return usual, "10,000,000 keys"
    return (usual if usual in cases[:-1] else cases[0]), cases[-1]
