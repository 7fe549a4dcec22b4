"""The text of ``rundlet --help``: all commands, places and exit codes on one screen.

It needs neither the modules of the commands nor typer's boxes, which take two lines for each group.
If the terminal is wide enough, commands are in several columns.
"""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Iterator, Sequence
from itertools import zip_longest
from typing import Final

from rundlet_server.cli.arguments import CONTEXT_HELP, PLACE_OPTIONS
from rundlet_server.cli.exits import MEANINGS
from rundlet_server.cli.table import Row, panels

_MARGIN: Final = 8
_COLUMNS_OF_GROUP_MAX: Final = 3
_COLUMNS_MAX: Final = 100
_OPTION_WIDTH: Final = 16
DOCUMENTS: Final = "https://github.com/rundlet/rundlet/tree/main/docs"

_TIE: Final = "\0"
_OPTIONS: Final = (*PLACE_OPTIONS, ("-c NAME", CONTEXT_HELP))
_FLAGS: Final = "--json, --ca-file FILE, COMMAND --help, --version, --install-completion"


def overview() -> str:
    """Return the text, for the width of the terminal."""
    columns = min(_COLUMNS_MAX, shutil.get_terminal_size().columns)
    return "\n".join(_lines(columns)) + "\n"


def _lines(columns: int) -> Iterator[str]:
    yield "Usage: rundlet COMMAND [OPTIONS] [ARGS]..."
    for panel, rows in panels():
        yield from _labelled(panel, _cells(rows, columns))
    for option, text in _OPTIONS:
        yield from _wrapped("", f"{option:<{_OPTION_WIDTH}}", text, columns)
    yield from _wrapped("", "", _FLAGS, columns)
    # A code stays on the line of its meaning.
    codes = ", ".join(f"{code:d}{_TIE}{text.replace(' ', _TIE)}" for code, text in MEANINGS.items())
    yield from (line.replace(_TIE, " ") for line in _wrapped("Exits", "", f"{codes}.", columns))
    yield f"{'Docs':<{_MARGIN}}{DOCUMENTS}"


def _cells(rows: Sequence[Row], columns: int) -> Iterator[str]:
    """Yield the commands of a group in up to three columns, each from top to bottom."""
    for count in range(_COLUMNS_OF_GROUP_MAX, 0, -1):
        height = -(-len(rows) // count)
        parts = [rows[start : start + height] for start in range(0, len(rows), height)]
        blocks = [_block(part) for part in parts]
        lines = ["  ".join(line).rstrip() for line in zip_longest(*blocks, fillvalue="")]
        if count == 1 or max(map(len, lines)) <= columns - _MARGIN:
            yield from lines
            return


def _block(rows: Sequence[Row]) -> list[str]:
    """Return a line for each command, all of one width."""
    name_width = max(len(row.name) for row in rows)
    lines = [f"{row.name:<{name_width}} {row.summary.removesuffix('.')}" for row in rows]
    width = max(map(len, lines))
    return [f"{line:<{width}}" for line in lines]


def _labelled(label: str, lines: Iterator[str]) -> Iterator[str]:
    for line in lines:
        yield f"{label:<{_MARGIN}}{line}"
        label = ""


def _wrapped(label: str, name: str, text: str, columns: int) -> Iterator[str]:
    """Yield a text after its label and name; further lines are indented below its first."""
    indent = _MARGIN + len(name)
    first, *others = textwrap.wrap(text, max(20, columns - indent), break_on_hyphens=False)
    yield f"{label:<{_MARGIN}}{name}{first}"
    yield from (" " * indent + line for line in others)
