"""Puts that are read back at the end, every one."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from bench.engines import Engine
from bench.errors import LoadFailed
from bench.workload import key_of, value_of


class CheckedPuts:
    """Puts new rows into an engine; the rows are made beforehand, outside what is timed."""

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
        """Put them, each in a transaction of its own."""
        put = self._engine.put
        for key, value in self._rows:
            put(key, value)

    def all_at_once(self) -> None:
        """Put them in as few transactions as the engine allows."""
        self._engine.put_all(self._rows)

    def check(self) -> None:
        """Compare every value with what was put.

        Raises:
            LoadFailed: one is not there.
        """
        for number in range(self._count):
            if self._engine.get(key_of(number)) != value_of(number):
                raise LoadFailed(f"the put of {key_of(number)} was acknowledged and is not there")


@contextlib.contextmanager
def puts_that_are_read_back(engine: Engine) -> Iterator[CheckedPuts]:
    """Puts into an engine, which is closed in the end."""
    with contextlib.closing(engine):
        puts = CheckedPuts(engine)
        yield puts
        puts.check()
