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


def row_bar() -> Progress:
    """Return a bar that counts rows."""
    return _bar(_RowsColumn())


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

    def render(self, task: Task) -> Text:
        done = f"{task.completed:,.0f}"
        rows = done if task.total is None else f"{done} of {task.total:,.0f}"
        speed = task.finished_speed or task.speed
        return Text(f"{rows} rows" if speed is None else f"{rows} rows, {speed:,.0f}/s")


class _RemainingColumn(TimeRemainingColumn):
    """The time that is left, where the whole is known."""

    def render(self, task: Task) -> Text:
        return Text() if task.total is None else super().render(task)
