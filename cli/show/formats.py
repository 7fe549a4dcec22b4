r"""``--format``: print rows as a table for people, or in a format for machines.

Without the option, a terminal shows the table, and a pipe gets tab-separated cells, raw and without
titles. ``json`` is one array, ``jsonl`` (the same as ``--json``) an object a line,
``csv`` and ``tsv`` begin with the names of the columns. In ``tsv``, a tab, newline, carriage return
or backslash within a cell is written as ``\t``, ``\n``, ``\r`` or ``\\``.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from typing import Annotated, Final, Generic, Literal, TypeVar

import typer

from rundlet_server.cli.show.json_line import to_line
from rundlet_server.cli.show.terminal import escaped, stdout_is_terminal, write_lines

Format = Literal["table", "json", "jsonl", "csv", "tsv"]
FormatOption = Annotated[
    Format | None,
    typer.Option("--format", help="How to print it; by default a table, in a pipe tabs."),
]
Row = TypeVar("Row")

_MEASURED_ROWS: Final = 200
"""The first rows, which decide the widths of a table; later rows are printed as they arrive."""
_TSV: Final = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})
_CSV_END: Final = "\r\n"
_RIGHT: Final = ">"


@dataclass(frozen=True, slots=True)
class Shape(Generic[Row]):
    """The forms of one kind of rows.

    Attributes:
        members: returns the members of a row for JSON.
        columns: names of the columns of CSV and TSV; a nested member is ``outer.inner``.
        titles: of the table; a title that starts with ``>`` means a column of numbers.
        cells: returns the cells of a row in the order of the titles; the last ones may be missing.
        piped: returns the cells of a row in a pipe, if they differ.
    """

    members: Callable[[Row], Mapping[str, object]]
    columns: Sequence[str]
    titles: Sequence[str]
    cells: Callable[[Row], Sequence[str]]
    piped: Callable[[Row], Sequence[str]] | None = None


def format_of(given: Format | None, *, as_json: bool) -> Format | None:
    """Return the format that ``--format`` or ``--json`` names; ``None`` if neither is given.

    Raises:
        typer.BadParameter: they name different formats.
    """
    if as_json and given not in (None, "json", "jsonl"):
        message = f"--json and --format {given} exclude each other; give one of them"
        raise typer.BadParameter(message)
    return given or ("jsonl" if as_json else None)


def write_rows(
    rows: Iterable[Row], shape: Shape[Row], wanted: Format | None, *, end: str = "\n"
) -> None:
    """Print rows as they arrive; ``end`` ends each line."""
    write_lines(_lines(rows, shape, wanted), end=end)


def _lines(rows: Iterable[Row], shape: Shape[Row], wanted: Format | None) -> Iterator[str]:
    if wanted == "jsonl":
        return (to_line(dict(shape.members(row))) for row in rows)
    if wanted == "json":
        return _array(shape.members(row) for row in rows)
    if wanted in ("csv", "tsv"):
        cells = (_columns(shape.members(row), shape.columns) for row in rows)
        lines = _csv if wanted == "csv" else _tsv
        return _harmless(lines(chain([list(shape.columns)], cells)))
    if wanted == "table" or stdout_is_terminal():
        return table(shape.titles, map(shape.cells, rows))
    return map("\t".join, map(shape.piped or shape.cells, rows))


def table(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """Yield the aligned lines of a table, with titles if there are any; nothing without rows.

    If there are fewer than ``_MEASURED_ROWS`` rows, empty columns are left out.
    """
    coming = iter(rows)
    first = list(islice(coming, _MEASURED_ROWS))
    if not first:
        return
    if titles and len(first) < _MEASURED_ROWS:
        used = [column for column in range(len(titles)) if any(map(_has(column), first))]
        titles = [titles[column] for column in used]
        first = [[cells[column] for column in used if column < len(cells)] for cells in first]
    rights = [title.startswith(_RIGHT) for title in titles]
    heading = [[title.removeprefix(_RIGHT) for title in titles]] if titles else []
    known = [*heading, *first]
    widths = [
        max(len(cells[column]) for cells in known if column < len(cells))
        for column in range(max(map(len, known)))
    ]
    for cells in chain(known, coming):
        yield "  ".join(_padded(cells, widths, rights)).rstrip()


def _has(column: int) -> Callable[[Sequence[str]], bool]:
    return lambda cells: column < len(cells) and bool(cells[column])


def _padded(cells: Sequence[str], widths: Sequence[int], rights: Sequence[bool]) -> Iterator[str]:
    for column, cell in enumerate(cells):
        is_right = column < len(rights) and rights[column]
        is_last = column == len(cells) - 1
        width = widths[column] if column < len(widths) else 0
        yield f"{cell:>{width}}" if is_right else cell if is_last else f"{cell:<{width}}"


def _array(rows: Iterable[Mapping[str, object]]) -> Iterator[str]:
    """Yield the lines of a JSON array while the rows arrive."""
    coming = map(to_line, map(dict[str, object], rows))
    line = next(coming, None)
    if line is None:
        yield "[]"
        return
    yield "["
    for following in coming:
        yield f"{line},"
        line = following
    yield line
    yield "]"


def _columns(members: Mapping[str, object], columns: Sequence[str]) -> list[str]:
    return [_text(_member(members, column)) for column in columns]


def _member(members: Mapping[str, object], name: str) -> object:
    if name in members:
        return members[name]
    outer, _, inner = name.partition(".")
    within = members.get(outer)
    return _member(within, inner) if inner and isinstance(within, Mapping) else None


def _text(member: object) -> str:
    if member is None:
        return ""
    if isinstance(member, bool | Mapping | list):
        return json.dumps(member, ensure_ascii=False)
    return str(member)


def _tsv(rows: Iterable[Sequence[str]]) -> Iterator[str]:
    return ("\t".join(cell.translate(_TSV) for cell in cells) for cells in rows)


def _csv(rows: Iterable[Sequence[str]]) -> Iterator[str]:
    import csv  # noqa: PLC0415 - rarely used
    import io  # noqa: PLC0415 - as the line before

    buffer = io.StringIO()
    # The writer quotes cells with CR or LF because of this terminator.
    writer = csv.writer(buffer, lineterminator=_CSV_END)
    for cells in rows:
        writer.writerow(cells)
        yield buffer.getvalue().removesuffix(_CSV_END)
        buffer.seek(0)
        buffer.truncate()


def _harmless(lines: Iterator[str]) -> Iterator[str]:
    """Escape control characters if stdout is a terminal."""
    if not stdout_is_terminal():
        return lines
    return ("\t".join(map(escaped, line.split("\t"))) for line in lines)
