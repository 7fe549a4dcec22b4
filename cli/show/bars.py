"""Bars for ``progress``, drawn by rich; imported only if a terminal shows them."""

from __future__ import annotations

from typing import Final

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Column
from rich.text import Text

_TEXTS_WIDTH: Final = 60
"""The width of the text beside a bar:
``importing  900,000 of 1,000,000 lines, 100,000/s 0:00:01``."""
_BAR_WIDTH_MIN: Final = 8
_BAR_WIDTH_MAX: Final = 40


def row_bar(unit: str = "rows") -> Progress:
    """Return a bar that counts rows, or other things named ``unit``."""
    return _bar(_RowsColumn(unit))


def byte_bar() -> Progress:
    """Return a bar that counts bytes."""
    return _bar(DownloadColumn(table_column=_on_one_line()))


def _bar(count: ProgressColumn) -> Progress:
    console = Console(stderr=True)
    columns: list[ProgressColumn] = [
        TextColumn("{task.description}", table_column=_on_one_line()),
        count,
        _RemainingColumn(table_column=_on_one_line()),
    ]
    room = console.width - _TEXTS_WIDTH
    if room >= _BAR_WIDTH_MIN:
        columns.insert(1, BarColumn(min(room, _BAR_WIDTH_MAX)))
    return Progress(*columns, console=console, transient=True)


def _on_one_line() -> Column:
    return Column(no_wrap=True)


class _RowsColumn(ProgressColumn):
    """Shows the number of rows, the total if it is known, and rows per second."""

    def __init__(self, unit: str) -> None:
        super().__init__(table_column=_on_one_line())
        self._unit = unit

    def render(self, task: Task) -> Text:
        done = f"{task.completed:,.0f}"
        rows = done if task.total is None else f"{done} of {task.total:,.0f}"
        rows = f"{rows} {self._unit}"
        speed = task.finished_speed or task.speed
        return Text(rows if speed is None else f"{rows}, {speed:,.0f}/s")


class _RemainingColumn(TimeRemainingColumn):
    """Shows the remaining time if the total is known."""

    def render(self, task: Task) -> Text:
        return Text() if task.total is None else super().render(task)
