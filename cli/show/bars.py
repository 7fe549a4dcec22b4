"""Bars for ``progress``, drawn by rich; imported only where a terminal shows them."""

from __future__ import annotations

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
from rich.text import Text


def row_bar(unit: str = "rows") -> Progress:
    """Return a bar that counts rows, or other things if ``unit`` says so."""
    return _bar(_RowsColumn(unit))


def byte_bar() -> Progress:
    """Return a bar that counts bytes."""
    return _bar(DownloadColumn())


def _bar(count: ProgressColumn) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        count,
        _RemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    )


class _RowsColumn(ProgressColumn):
    """Rows done, of how many if that is known, and rows per second."""

    def __init__(self, unit: str) -> None:
        super().__init__()
        self._unit = unit

    def render(self, task: Task) -> Text:
        done = f"{task.completed:,.0f}"
        rows = done if task.total is None else f"{done} of {task.total:,.0f}"
        rows = f"{rows} {self._unit}"
        speed = task.finished_speed or task.speed
        return Text(rows if speed is None else f"{rows}, {speed:,.0f}/s")


class _RemainingColumn(TimeRemainingColumn):
    """The time that is left, where the whole is known."""

    def render(self, task: Task) -> Text:
        return Text() if task.total is None else super().render(task)
