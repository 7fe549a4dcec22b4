"""The app behind ``rundlet``: joins the commands and turns every error into one line.

A command module exposes ``commands`` (a ``typer.Typer``), names the help group of each command
with ``rich_help_panel=Panel.DATA`` and so on, and is joined at the end of this module.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer
from typer.core import TyperGroup

from rundlet_server.cli.arguments import (
    CA_OPTION,
    CA_VARIABLE,
    moved_behind_command,
    without_ca_file,
)
from rundlet_server.cli.bench import command as bench
from rundlet_server.cli.commands import care, config, data, many, tokens, top
from rundlet_server.cli.doctor import command as doctor
from rundlet_server.cli.exits import ExitCode, exit_code_of, message_of
from rundlet_server.cli.serve import command as serve
from rundlet_server.cli.transfer import command as transfer


class _OneLineErrors(TyperGroup):
    """Commands whose errors are one line on stderr and an exit code, never a traceback."""

    def parse_args(self, ctx: typer.Context, args: list[str]) -> list[str]:  # type: ignore[override] # typer's own Context class is private
        no_arguments = not args
        try:
            ca_file, args = without_ca_file(args)
            return super().parse_args(ctx, ca_file + moved_behind_command(args))
        except typer.TyperException as ex:
            if no_arguments:
                raise  # typer shows the help
            raise _exit_with(ex.format_message(), ExitCode.USAGE) from ex

    def invoke(self, ctx: typer.Context) -> object:  # type: ignore[override] # as above
        try:
            return super().invoke(ctx)
        except (typer.Exit, typer.Abort, EOFError, BrokenPipeError):
            raise  # typer's own ways to end
        except typer.TyperException as ex:
            raise _exit_with(ex.format_message(), ExitCode.USAGE) from ex
        except Exception as ex:
            code = exit_code_of(ex)
            if code is not None:
                raise _exit_with(message_of(ex), code) from ex
            if os.environ.get("RUNDLET_TRACEBACK"):
                raise
            what = f"internal error, {type(ex).__name__}: {ex}"
            hint = "please report it, with what RUNDLET_TRACEBACK=1 shows"
            raise _exit_with(f"{what} ({hint})", ExitCode.UNREACHABLE) from ex


def _exit_with(message: str, code: ExitCode) -> typer.Exit:
    """Print an error as one line of plain text; gives the exception that ends the command."""
    line = "".join(c if c.isprintable() else " " for c in message)
    sys.stderr.write(f"rundlet: {line}\n")
    sys.stderr.flush()
    return typer.Exit(code)


app = typer.Typer(
    cls=_OneLineErrors,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(wanted: bool) -> None:
    if wanted:
        from rundlet_server.functions.app import software_version  # noqa: PLC0415 -- falcon takes its time

        print(f"rundlet {software_version()}")
        raise typer.Exit


@app.callback()
def _rundlet(
    _version: Annotated[
        bool,
        typer.Option("--version", is_eager=True, callback=_show_version, help="Show the version."),
    ] = False,
    ca_file: Annotated[
        Path | None,
        typer.Option(
            CA_OPTION,
            metavar="FILE",
            exists=True,
            dir_okay=False,
            help=f"Authority of the server's certificate, PEM [{CA_VARIABLE}].",
        ),
    ] = None,
) -> None:
    """Rundlet, a key-value server: one command to start, ordinary HTTP to use."""
    if ca_file is not None:
        os.environ[CA_VARIABLE] = str(ca_file)  # for cli.place, which no command tells of it


# The order of the help groups is the order in which they are joined here.
app.add_typer(data.commands)
app.add_typer(many.commands)
app.add_typer(transfer.commands)
app.add_typer(serve.commands)
app.add_typer(care.commands)
app.add_typer(tokens.commands)
app.add_typer(top.commands)
app.add_typer(config.commands)
app.add_typer(doctor.commands)
app.add_typer(bench.commands)

if __name__ == "__main__":
    app(prog_name="rundlet")
