"""Progress of long work, on stderr if it is a terminal."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Self, TypeVar

from rundlet_server.cli.show.terminal import stderr_is_terminal

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

Row = TypeVar("Row")

_LOT_ROWS = 250
_LOT_S = 0.1
_MOMENT_S = 1.0


class RowProgress:
    """Counts rows or other things; draws a bar only on a terminal. Use it as a context manager."""

    def __init__(self, what: str, unit: str = "rows", *, first: str | None = None) -> None:
        """Make a bar if stderr is a terminal.

        Args:
            what: the work in one word, such as ``importing``.
            unit: the unit of the count.
            first: a step before the work that also takes time, until ``begin``.
        """
        self._what = what
        self._drawn: tuple[Progress, TaskID] | None = None
        self._pending = 0
        self._advanced_s = 0.0
        if stderr_is_terminal():
            from rundlet_server.cli.show.bars import row_bar  # noqa: PLC0415 - rich takes its time

            bar = row_bar(unit)
            self._drawn = bar, bar.add_task(first or what, total=None)

    @property
    def is_drawn(self) -> bool:
        """Whether there is a bar."""
        return self._drawn is not None

    def begin(self, total: int, *, done: int = 0) -> None:
        """Set the number of rows in all, and how many of them an earlier run has done."""
        if self._drawn:
            bar, task = self._drawn
            # The rows of an earlier run must not count for the speed.
            bar.reset(task, total=total, completed=done, description=self._what)
        self._pending = 0

    def advance(self, rows: int) -> None:
        """Count rows that are done; update the bar only now and then, because that is slow."""
        self._pending += rows
        if not self._drawn:
            return
        now_s = time.monotonic()
        if self._pending >= _LOT_ROWS or now_s - self._advanced_s >= _LOT_S:
            bar, task = self._drawn
            bar.advance(task, self._pending)
            self._pending = 0
            self._advanced_s = now_s

    def __enter__(self) -> Self:
        if self._drawn:
            self._drawn[0].start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        if self._drawn:
            self._drawn[0].stop()


def counted(rows: Iterable[Row], what: str, unit: str) -> Iterator[Row]:
    """Yield rows; if that takes longer than ``_MOMENT_S``, show their count on a terminal."""
    began_s = time.monotonic()
    progress: RowProgress | None = None
    with ExitStack() as stack:
        for number, row in enumerate(rows):
            if progress is not None:
                progress.advance(1)
            elif number % _LOT_ROWS == 0 and time.monotonic() - began_s > _MOMENT_S:
                progress = stack.enter_context(RowProgress(what, unit))
                progress.advance(number)
            yield row


@contextmanager
def byte_progress(what: str) -> Iterator[Callable[[int, int], None]]:
    """Draw a bar for work on bytes; the caller reports bytes done and bytes in all."""
    if not stderr_is_terminal():
        yield lambda _done, _total: None
        return
    from rundlet_server.cli.show.bars import byte_bar  # noqa: PLC0415 - rich takes its time

    with byte_bar() as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
