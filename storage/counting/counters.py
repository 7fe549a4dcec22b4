"""Exact counts over all threads and processes of one server life.

A count has a name, and up to ``WORDS`` words: one for a plain count, one for each bucket and the
sum for a histogram. Each process has files of its own in one folder (``rows``), each thread a row
of its own for every name, so counting takes no lock and shares no cache line;
``SharedCounters.rows`` sums the rows of every file by name. Files outlive their process: what a
worker counted stays counted after it died.
"""

from __future__ import annotations

import contextlib
import os
import threading
from bisect import bisect_left
from collections.abc import Iterable
from pathlib import Path
from typing import Final, Literal, NamedTuple, get_args

from rundlet_server.storage.counting.rows import (
    SUFFIX,
    CountingProcess,
    Name,
    Role,
    RowPool,
    ThreadRows,
    is_alive,
    process_of,
    rows_of_file,
)
from rundlet_server.storage.forks import listen_for_forks

OperationKind = Literal["get", "set", "delete"]
RefusalKind = Literal["refused_missing", "refused_unknown", "refused_expired", "refused_forbidden"]
CountedKind = OperationKind | RefusalKind
OPERATION_KINDS: Final[tuple[OperationKind, ...]] = get_args(OperationKind)
REFUSAL_KINDS: Final[tuple[RefusalKind, ...]] = get_args(RefusalKind)


SUM_WORD: Final = 20
"""The word of a histogram that holds the sum of all amounts; those before it are buckets."""
LATEST: Final = "latest "
"""Rows whose names begin with this hold the largest number seen, and are not summed."""


class Histogram(NamedTuple):
    """How amounts are sorted by size: bucket ``i`` counts those up to ``bounds[i]``.

    Attributes:
        bounds: whole numbers that rise; at most ``SUM_WORD - 1``. One more bucket counts the rest.
    """

    bounds: tuple[int, ...]


class SharedCounters:
    """Counts by name; every process of a server makes one on the same folder.

    All methods may be called from any thread. An object may be carried through ``fork``.

    Attributes:
        own: the rows of the calling thread: ``own.rows[name]`` are the words that only this thread
            adds to, for callers that want to save a call. Do not keep it: a forked child has
            others.
    """

    def __init__(self, directory: Path | None = None, role: Role = "worker") -> None:
        """Join the counting in ``directory``, which is made if it is missing.

        Its parent is not made: if the parent is gone, the server has ended. Without a folder this
        process counts for itself.

        Raises:
            OSError: the folder cannot be written or is full; later calls do not fail.
        """
        self._directory = directory
        self._role = role
        if directory is not None:
            directory.mkdir(exist_ok=True)
        self._begin()
        listen_for_forks(self)

    def add(self, name: Name, count: int = 1) -> None:
        """Add to the first word of a name; about 0.1 µs."""
        self.own.rows[name][0] += count

    def note(self, name: Name, histogram: Histogram, amount: int) -> None:
        """Count an amount."""
        row = self.own.rows[name]
        row[bisect_left(histogram.bounds, amount)] += 1
        row[SUM_WORD] += amount

    def note_latest(self, name: str, number: int) -> None:
        """Keep the largest number; ``name`` begins with ``LATEST``."""
        row = self.own.rows[name]
        row[0] = max(row[0], number)

    def rows(self) -> dict[str, list[int]]:
        """Return what all threads of all processes counted so far, by name."""
        found: dict[str, list[int]] = {}
        _gather(found, self._pool.private_rows())
        for path in self._files():
            _gather(found, rows_of_file(path))
        return found

    def living_rows(self) -> dict[str, list[int]]:
        """Return the rows of living processes only, for counts that end with their process."""
        found: dict[str, list[int]] = {}
        _gather(found, self._pool.private_rows())
        living = set(self.processes())
        for path in self._files():
            if process_of(path) in living:
                _gather(found, rows_of_file(path))
        return found

    @property
    def directory(self) -> Path | None:
        """Where all processes count; ``None`` if this process counts for itself."""
        return self._directory

    def processes(self) -> list[CountingProcess]:
        """Return the processes that count and are alive, the oldest first."""
        if self._directory is None:
            return [CountingProcess(self._role, os.getpid(), self._pool.started_us)]
        living = [process_of(path) for path in self._files() if is_alive(path)]
        return sorted(living, key=lambda process: process.started_us)

    @property
    def has_predecessor(self) -> bool:
        """Whether a process of the same role has counted here, and has ended."""
        return any(
            process_of(path).role == self._role and not is_alive(path) for path in self._files()
        )

    def started_us(self) -> int:
        """Return when the first of all processes, alive or not, began to count."""
        started = [process_of(path).started_us for path in self._files()]
        return min(started, default=self._pool.started_us)

    def after_fork(self) -> None:
        """Give a forked child rows of its own: two processes must not write one row.

        If the folder is gone or full, the child counts in private memory, for itself.
        """
        with contextlib.suppress(OSError):  # another thread had just closed it
            self._pool.release()
        try:
            self._begin()
        except OSError:
            self._directory = None
            self._begin()

    def _files(self) -> Iterable[Path]:
        return () if self._directory is None else self._directory.glob(f"*{SUFFIX}")

    def _begin(self) -> None:
        self._pool = RowPool(self._directory, self._role)
        self.own = _Own(self._pool)


class OperationCounters:
    """Counts of operations and refusals."""

    def __init__(self, shared: SharedCounters | None = None) -> None:
        """Keep the counts in ``shared``; by default this process counts for itself."""
        self.shared = shared or SharedCounters()

    def add(self, kind: CountedKind, count: int = 1) -> None:
        """Count ``count`` operations of a kind; about 0.1 µs."""
        self.shared.own.rows[kind][0] += count

    def totals(self) -> dict[CountedKind, int]:
        """Return what all processes counted so far; kinds that did not happen are left out."""
        rows = self.shared.rows()
        kinds = (*OPERATION_KINDS, *REFUSAL_KINDS)
        return {kind: rows[kind][0] for kind in kinds if kind in rows}


class _Own(threading.local):
    """The rows of each thread."""

    def __init__(self, pool: RowPool) -> None:
        self.rows = ThreadRows(pool)


def _gather(found: dict[str, list[int]], rows: Iterable[tuple[str, list[int]]]) -> None:
    """Add rows to those of the same name."""
    for name, words in rows:
        before = found.get(name)
        if before is None:
            found[name] = words
        elif name.startswith(LATEST):
            found[name] = [max(pair) for pair in zip(before, words, strict=True)]
        else:
            found[name] = [sum(pair) for pair in zip(before, words, strict=True)]
