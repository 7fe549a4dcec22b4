"""Turns the page of the command line into the man page ``docs/rundlet.1``.

``python docs/cli_help.py`` writes both; ``man -l docs/rundlet.1`` shows it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

MAN_PATH: Final = Path(__file__).parent / "rundlet.1"

_HEADER: Final = """\
.\\" Written by docs/cli_help.py from the help texts; do not edit.
.TH RUNDLET 1 "" "Rundlet" "User Commands"
.SH NAME
rundlet \\- a key-value server and its command line
.SH SYNOPSIS
.B rundlet
COMMAND [OPTIONS] [ARGS]...
.SH DESCRIPTION"""
_ABOUT_ITSELF: Final = """\
`python docs/cli_help.py` writes this page from the help texts; a test fails when it is out of date.

"""
_LINK: Final = re.compile(r"\[([^]]+)\]\([^)]+\)")
_CODE: Final = re.compile(r"`([^`]+)`")
_CELLS: Final = re.compile(r"(?<!\\)\|")


def man_page(markdown: str) -> str:
    """Return the man page of a page in Markdown, of which only the forms that it uses are known."""
    lines = markdown.replace(_ABOUT_ITSELF, "").splitlines()
    return "\n".join([_HEADER, *_body(lines), ""])


def _body(lines: list[str]) -> Iterator[str]:
    is_fenced = False
    for line, following in zip(lines[1:], [*lines[2:], ""], strict=True):
        if line.startswith("```"):
            is_fenced = not is_fenced
            yield ".RS 4\n.nf" if is_fenced else ".fi\n.RE"
        elif is_fenced:
            yield _text(line, is_code=True)
        elif not (line.startswith("|---") or following.startswith("|---")):  # titles of a table
            yield from _line(line)


def _line(line: str) -> Iterator[str]:
    if line.startswith("### "):
        yield f'.SS "{_text(line[4:])}"'
    elif line.startswith("## "):
        yield f'.SH "{_text(line[3:]).upper()}"'
    elif line.startswith("|"):
        yield from _row([cell.strip() for cell in _CELLS.split(line)[1:-1]])
    elif line.startswith("* "):
        yield f".IP \\(bu 2\n{_text(line[2:])}"
    else:
        yield _text(line) if line.strip() else ".PP"


def _row(cells: list[str]) -> Iterator[str]:
    """A row of a table: its first cell above the others, which are indented."""
    first, *others = [_text(cell) for cell in cells]
    yield f".TP\n{first}"
    yield "; ".join(other for other in others if other)


def _text(markdown: str, *, is_code: bool = False) -> str:
    """Escape a line for roff; code becomes bold."""
    text = markdown.replace("\\|", "|").replace("\\", "\\e").replace("-", "\\-")
    if not is_code:
        text = _CODE.sub(r"\\fB\1\\fR", _LINK.sub(r"\1", text))
    return "\\&" + text if text[:1] in (".", "'") else text
