"""The command that follows changes, group *Time*: watch."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Final

import typer
from typer.core import TyperCommand

from rundlet import Event
from rundlet_server.cli.exits import CommandError, ExitCode, Interrupted
from rundlet_server.cli.place.options import JsonOption
from rundlet_server.cli.place.taking import Location, takes_location
from rundlet_server.cli.show.json_line import to_line
from rundlet_server.cli.show.terminal import (
    escaped,
    shortened,
    stdout_is_terminal,
    write_bytes,
    write_line,
)
from rundlet_server.cli.transfer.jsonlines import data_members

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from typer._click.core import Context

commands = typer.Typer()

_EXEC: Final = "--exec"
_WIDE_COLUMNS: Final = 80
"""Terminals of fewer columns show no version and no size."""


class _CommandWithProgram(TyperCommand):
    """A command whose option ``--exec`` takes all following arguments, as in ``find``."""

    def parse_args(self, ctx: Context, args: list[str]) -> list[str]:
        """Join the program and its arguments into one argument."""
        if _EXEC in args:
            place = args.index(_EXEC) + 1
            args = [*args[:place], *([shlex.join(args[place:])] if args[place:] else [])]
        return super().parse_args(ctx, args)


@commands.command("watch", cls=_CommandWithProgram)
@takes_location
def watch(
    prefix: Annotated[str, typer.Argument(metavar="PREFIX")] = "",
    *,
    since: Annotated[
        int | None,
        typer.Option(metavar="N", min=0, help="After this revision; by default from now on."),
    ] = None,
    values: Annotated[bool, typer.Option("--values", help="With the values.")] = False,
    program: Annotated[
        str | None,
        typer.Option(
            _EXEC,
            metavar="CMD",
            help="Run a program for each change, without a shell. What follows are its arguments.",
        ),
    ] = None,
    stop_on_error: Annotated[
        bool, typer.Option("--stop-on-error", help="End when the program fails.")
    ] = False,
    location: Location,
    as_json: JsonOption = False,
) -> None:
    """Follow changes.

    It resumes after a restart of the server, without a loss. A program gets the change in
    RUNDLET_KEY, RUNDLET_OP, RUNDLET_REVISION and RUNDLET_VERSION, and as JSON on its stdin.

    Example: rundlet watch users/ --exec ./invalidate.sh --all
    """
    if stop_on_error and program is None:
        raise CommandError("--stop-on-error needs --exec", ExitCode.USAGE)
    show: Callable[[Event], None] = _print_json if as_json else _print_line
    if program is not None:
        show = _Program(shlex.split(program), stop_on_error=stop_on_error).run
    with (
        location.opened() as target,
        target.watch(prefix, since=since, values=values) as changes,
    ):
        try:
            if show is _print_line and stdout_is_terminal():
                titles = ("time", "change", "revision", "version", "size")
                write_line(_aligned(titles, ["key", *(["value"] if values else [])]))
            for event in changes:
                show(event)
        except KeyboardInterrupt:
            message = f"stopped; to go on from here: --since {changes.position}"
            raise Interrupted(message) from None


def _print_json(event: Event) -> None:
    write_line(to_line(_members(event)))


def _print_line(event: Event) -> None:
    moment = _rfc3339(event.time.replace(microsecond=0))
    cells = (moment, event.op, str(event.revision), str(event.version), str(event.size))
    if stdout_is_terminal():
        shown = [] if event.data is None else [shortened(event.data)]
        write_line(_aligned(cells, [escaped(event.key), *shown]))
        return
    value = b"" if event.data is None else b"\t" + event.data
    write_bytes("\t".join([*cells, event.key]).encode() + value + b"\n")


def _aligned(cells: tuple[str, str, str, str, str], key: Sequence[str]) -> str:
    """Return a line for people; ``key`` is the key, and the value if it is shown."""
    moment, kind, revision, version, size = cells
    about = f"{moment:<20} {kind:<7} {revision:>9}"
    if shutil.get_terminal_size().columns >= _WIDE_COLUMNS:
        about += f" {version:>8} {size:>10}"
    return "  ".join([about, *key])


def _members(event: Event) -> dict[str, object]:
    """Return an event with the same members as in the HTTP API."""
    members: dict[str, object] = {
        "revision": event.revision,
        "time": _rfc3339(event.time),
        "op": event.op,
        "key": event.key,
        "version": event.version,
        "size": event.size,
        "content_type": event.content_type,
        "last": event.is_last,
    }
    if event.expires is not None:
        members["expires"] = _rfc3339(event.expires)
    if event.meta:
        members["meta"] = dict(event.meta)
    if event.data is not None:
        members |= data_members(event.data, event.content_type)
    if event.is_value_omitted:
        members["value_omitted"] = True
    return members


def _rfc3339(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")


class _Program:
    """Runs a program for each event, one after the other."""

    def __init__(self, command: list[str], *, stop_on_error: bool) -> None:
        """Check that the program exists.

        Raises:
            CommandError: the program does not exist.
        """
        if not command or shutil.which(command[0]) is None:
            name = repr(command[0]) if command else "nothing"
            message = (
                f"there is no program {name}; write the program and its arguments after --exec as"
                " they are, not in quotes"
            )
            raise CommandError(message, ExitCode.USAGE)
        self._command = command
        self._stop_on_error = stop_on_error

    def run(self, event: Event) -> None:
        """Run the program for an event, and report a failure.

        Raises:
            CommandError: the program failed, with ``--stop-on-error``.
        """
        environ = {
            "RUNDLET_KEY": event.key,
            "RUNDLET_OP": event.op,
            "RUNDLET_REVISION": str(event.revision),
            "RUNDLET_VERSION": str(event.version),
        }
        try:
            done = subprocess.run(
                self._command,
                input=json.dumps(_members(event)).encode() + b"\n",
                env=os.environ | environ,
                check=False,
            )
        except (OSError, ValueError) as ex:  # a variable cannot have a zero byte, but a key can
            self._report(event, str(ex))
        else:
            if done.returncode != 0:
                self._report(event, f"exit code {done.returncode}")

    def _report(self, event: Event, reason: str) -> None:
        what = f"{self._command[0]} failed for {event.key!r} at revision {event.revision}: {reason}"
        if self._stop_on_error:
            message = f"{what}; to go on with this change: --since {event.revision - 1}"
            raise CommandError(message)
        sys.stderr.write(f"rundlet: {what}\n")
        sys.stderr.flush()
