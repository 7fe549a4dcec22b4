"""The command that opens a prompt, group *Data*: shell."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import typer
from typer._click.globals import get_current_context

from rundlet_server.cli.exits import CommandError, ExitCode, print_error
from rundlet_server.cli.overview import overview
from rundlet_server.cli.place.options import (
    DataOption,
    StoreOption,
    TokenOption,
    UrlOption,
    open_target,
)
from rundlet_server.cli.place.session import Session, current_session
from rundlet_server.cli.place.target import Purpose
from rundlet_server.cli.show.terminal import stdout_is_terminal

commands = typer.Typer()

_PROMPT: Final = "rundlet> "
_SELF: Final = "rundlet"
_COMMENT: Final = "#"
_INTERRUPTED: Final = 130


@commands.command("shell")
def shell(
    url: UrlOption = None,
    data: DataOption = None,
    store: StoreOption = None,
    token: TokenOption = None,
) -> None:
    """Open a prompt.

    Each line is a command without rundlet before it, all on one connection. Tab completes
    commands, options and keys; the arrow keys go back in the history. In a pipe it runs the lines
    that it reads, and ends with the exit code of the first that failed.

    Example: rundlet shell --data ./data
    """
    if current_session() is not None:
        raise CommandError("this is a shell already", ExitCode.USAGE)
    with open_target(url, data, token, Purpose.CHANGE, store=store) as target:
        _inherit(url, data, store, token)
        runner = _Runner(Session(target))
        if sys.stdin is not None and sys.stdin.isatty() and stdout_is_terminal():
            from rundlet_server.cli.shell.lines import edited_lines  # noqa: PLC0415 - for terminals only

            target.info()  # a place that cannot be reached is reported now
            print("help lists the commands, Tab completes, Ctrl-D ends")
            with edited_lines(target):
                runner.run_all(_typed())
            return
        if sys.stdin is not None:
            runner.run_all(sys.stdin)
    if runner.first_failure:
        raise typer.Exit(runner.first_failure)


def _typed() -> Iterator[str]:
    """Yield typed lines; Ctrl-C discards a line."""
    while True:
        try:
            yield input(_PROMPT)
        except EOFError:
            print()
            return
        except KeyboardInterrupt:
            print()


def _inherit(url: str | None, data: Path | None, store: str | None, token: str | None) -> None:
    """Set variables, so that commands that open a place themselves (``top``) open this one."""
    places = {"RUNDLET_URL": url, "RUNDLET_DATA": data, "RUNDLET_STORE": store}
    if any(place is not None for place in places.values()):
        for variable, place in places.items():
            os.environ.pop(variable, None)
            if place is not None:
                os.environ[variable] = str(place)
    if token is not None:
        os.environ["RUNDLET_TOKEN"] = token


class _Runner:
    """Runs lines as commands.

    Attributes:
        first_failure: the exit code of the first command that failed; 0 if none did.
    """

    def __init__(self, session: Session) -> None:
        self._group = get_current_context().find_root().command
        self._session = session
        self.first_failure = 0

    def run_all(self, lines: Iterator[str]) -> None:
        """Run all lines, or those before ``exit``."""
        for line in lines:
            code = self._run(line.strip())
            if code is None:
                return
            self.first_failure = self.first_failure or code

    def _run(self, line: str) -> int | None:
        """Run a line and return its exit code; ``None`` if it ends the shell."""
        if not line or line.startswith(_COMMENT):
            return 0
        try:
            words = shlex.split(line)
        except ValueError as ex:
            print_error(f"{ex}; put what has blanks into quotes", ExitCode.USAGE)
            return ExitCode.USAGE
        if words[:1] == [_SELF]:
            words = words[1:]
        match words:
            case [] | ["help"]:
                print(overview(), end="")
                return 0
            case ["exit" | "quit"]:
                return None
            case ["help", *command]:
                words = [*command, "--help"]
        return self._call(words)

    def _call(self, words: list[str]) -> int:
        try:
            code = self._group.main(
                words, prog_name=_SELF, standalone_mode=False, obj=self._session
            )
        except typer.Abort:  # typer raises it on Ctrl-C
            return _INTERRUPTED
        finally:
            if sys.stdout is not None:
                sys.stdout.flush()
        return code if isinstance(code, int) else 0
