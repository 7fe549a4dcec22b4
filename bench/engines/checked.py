"""Puts into an engine, every one of which is read back at the end."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from bench.engines import Engine
from bench.errors import LoadFailed
from bench.workload import key_of, value_of


class CheckedPuts:
    """Puts new rows into an engine; ``prepare`` makes the rows outside the timed work."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._count = 0
        self._rows: list[tuple[str, bytes]] = []

    def prepare(self, count: int) -> None:
        """Make the next rows to put."""
        numbers = range(self._count, self._count + count)
        self._rows = [(key_of(number), value_of(number)) for number in numbers]
        self._count += count

    def one_by_one(self) -> None:
        """Put the rows, each in a transaction of its own."""
        put = self._engine.put
        for key, value in self._rows:
            put(key, value)

    def all_at_once(self) -> None:
        """Put the rows in as few transactions as the engine allows."""
        self._engine.put_all(self._rows)

    def check(self) -> None:
        """Compare every value with what was put.

        Raises:
            LoadFailed: a value is missing or differs.
        """
        for number in range(self._count):
            if self._engine.get(key_of(number)) != value_of(number):
                raise LoadFailed(f"the acknowledged put of {key_of(number)} is lost")


@contextlib.contextmanager
def puts_that_are_read_back(engine: Engine) -> Iterator[CheckedPuts]:
    """Offer checked puts into an engine; check them, and close the engine, at the end."""
    with contextlib.closing(engine):
        puts = CheckedPuts(engine)
        yield puts
        puts.check()
