"""A progress bar on stderr for long work, where a person sees it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
)
from rich.text import Text

_LOT_ROWS = 250


class RowProgress:
    """Counts rows; draws a bar only on a terminal. Use it as a context manager."""

    def __init__(self, what: str) -> None:
        """``what`` is the work in one word, such as ``importing``."""
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            _RateColumn(),
            console=Console(stderr=True),
            transient=True,
            disable=not sys.stderr.isatty(),
        )
        self._task = self._bar.add_task(what, total=None)

        self._pending = 0

    def begin(self, total: int) -> None:
        """The number of rows to come."""
        self._bar.update(self._task, total=total)

    def advance(self, rows: int) -> None:
        """So many more rows are done; the bar hears of it in lots, as it is slow to tell."""
        self._pending += rows
        if self._pending >= _LOT_ROWS:
            self._bar.advance(self._task, self._pending)
            self._pending = 0

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._bar.stop()


@contextmanager
def byte_progress(what: str) -> Iterator[Callable[[int, int], None]]:
    """A bar for work on bytes, drawn only on a terminal; told bytes done and bytes in all."""
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        console=Console(stderr=True),
        transient=True,
        disable=not sys.stderr.isatty(),
    ) as bar:
        task = bar.add_task(what, total=None)

        def show(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total)

        yield show


class _RateColumn(ProgressColumn):
    """Rows per second."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{speed:,.0f} rows/s")
