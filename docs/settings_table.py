"""Writes the tables of ``docs/settings.md`` from the table of settings.

Run ``python docs/settings_table.py``; what stands outside the markers is left as it is.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Final

from rundlet_server.functions.settings import SETTINGS
from rundlet_server.functions.settings.kinds import Flag, Words
from rundlet_server.functions.settings.rows import Setting

PAGE_PATH: Final = Path(__file__).parent / "settings.md"

_BEGIN: Final = "<!-- settings -->\n"
_END: Final = "<!-- /settings -->\n"
_HEAD: Final = [
    "| option | variable | value | default | what it does | used by |",
    "|---" * 6 + "|",
]
_SERVER: Final = "Server and store"
_OF_PROCESSES: Final = """\
A server sets these variables for its own processes. `rundlet serve` ignores them; another WSGI
server that runs the functions may set them."""


def page() -> str:
    """The page as it should be: the old one with new tables."""
    before, _, rest = PAGE_PATH.read_text().partition(_BEGIN)
    _, _, after = rest.partition(_END)
    return f"{before}{_BEGIN}{tables()}{_END}{after}"


def tables() -> str:
    """One table for each panel of the help of ``rundlet serve``, and one of the rest."""
    lines: list[str] = []
    with_option = [row for row in SETTINGS if row.option]
    panels = list(dict.fromkeys(row.panel for row in with_option))
    for panel, rows in groupby(
        sorted(with_option, key=lambda row: panels.index(row.panel)), lambda row: row.panel
    ):
        lines += [f"### {panel or _SERVER}", "", *_HEAD, *map(_line, rows), ""]
    lines += ["### Variables of server processes", "", *_OF_PROCESSES.splitlines(), "", *_HEAD]
    lines += [_line(row) for row in SETTINGS if not row.option]
    return "\n".join(lines) + "\n"


def _line(row: Setting) -> str:
    spellings = ", ".join(f"`{name}`" for name in (row.option, row.short) if name)
    variable = f"`{row.variable}`" if row.variable else ""
    return f"| {' | '.join([spellings, variable, *_described(row)])} |"


def _described(row: Setting) -> Iterator[str]:
    yield "" if isinstance(row.kind, Flag) else f"`{row.kind.metavar}`".replace("|", "` or `")
    is_word = not row.is_default_dependent and not isinstance(row.kind, Flag | Words)
    yield f"`{row.shown_default}`" if is_word and row.shown_default else row.shown_default
    yield row.description
    yield row.used_by


if __name__ == "__main__":
    PAGE_PATH.write_text(page())
