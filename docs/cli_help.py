"""Writes ``docs/cli.md`` from the help texts of the commands: ``python docs/cli_help.py``."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from typer.main import get_command
from typer.testing import CliRunner

from rundlet_server.cli.main import app

PAGE_PATH: Final = Path(__file__).parent / "cli.md"

_INTRODUCTION: Final = """\
# The command line

What `rundlet --help` and the help of each command say. Written by `python docs/cli_help.py`;
a test fails when it is out of date. How the commands are used is told in the
[guide](guide.md).

Exit codes: 0 done, 1 not found, 2 usage, 3 precondition failed or conflict, 4 server or
network, 5 damaged data. Errors are one line on stderr.
"""


def page() -> str:
    """The page as it should be."""
    names = list(get_command(app).commands)
    return "\n".join(
        [_INTRODUCTION, _section("rundlet"), *(_section(f"rundlet {name}") for name in names)]
    )


def _section(command: str) -> str:
    arguments = [*command.split()[1:], "--help"]
    # Colours and the width of a terminal must not depend on where this runs.
    environ = {
        "COLUMNS": "80",
        "TERMINAL_WIDTH": None,
        "TERM": "dumb",
        "NO_COLOR": "1",
        "FORCE_COLOR": None,
        "GITHUB_ACTIONS": None,
    }
    shown = CliRunner().invoke(app, arguments, prog_name="rundlet", env=environ).stdout
    lines = [line.rstrip() for line in shown.strip().splitlines()]
    return "\n".join([f"## {command}", "", "```text", *lines, "```", ""])


if __name__ == "__main__":
    PAGE_PATH.write_text(page())
