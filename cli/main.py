"""The app behind ``rundlet``: the options before the command, and the group of all commands."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from rundlet_server.cli.arguments import (
    CA_HELP,
    CA_OPTION,
    CA_VARIABLE,
    CONTEXT_HELP,
    CONTEXT_OPTIONS,
    CONTEXT_VARIABLE,
    PLACE_VARIABLES,
)
from rundlet_server.cli.group import CommandGroup
from rundlet_server.cli.process import run

app = typer.Typer(
    cls=CommandGroup,
    # The options for completion are below: typer's own would load its modules for every command.
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(wanted: bool) -> None:
    if wanted:
        from rundlet.version import __version__  # noqa: PLC0415 - rarely used

        print(f"rundlet {__version__}")
        raise typer.Exit


def _existing_file(file: Path | None) -> Path | None:
    if file is not None and not file.is_file():
        message = f"there is no file {str(file)!r}"
        raise typer.BadParameter(message)
    return file


def _install_completion(ctx: typer.Context, param: typer.CallbackParam, wanted: bool) -> None:
    if wanted:
        from typer.completion import install_callback  # noqa: PLC0415 - rarely used

        from rundlet_server.cli import bash  # noqa: PLC0415 - as the line before

        bash.register()
        install_callback(ctx, param, wanted)


def _show_completion(ctx: typer.Context, param: typer.CallbackParam, wanted: bool) -> None:
    if wanted:
        from typer.completion import show_callback  # noqa: PLC0415 - rarely used

        from rundlet_server.cli import bash  # noqa: PLC0415 - as the line before

        bash.register()
        show_callback(ctx, param, wanted)


@app.callback()
def _rundlet(
    _version: Annotated[
        bool,
        typer.Option("--version", is_eager=True, callback=_show_version, help="Show the version."),
    ] = False,
    _install: Annotated[
        bool,
        typer.Option(
            "--install-completion",
            callback=_install_completion,
            help="Install completion for the shell that this runs in.",
        ),
    ] = False,
    _show: Annotated[
        bool,
        typer.Option(
            "--show-completion",
            callback=_show_completion,
            help="Print the script that completes commands in this shell.",
        ),
    ] = False,
    ca_file: Annotated[
        Path | None,
        typer.Option(
            CA_OPTION,
            metavar="FILE",
            callback=_existing_file,
            help=CA_HELP,
        ),
    ] = None,
    context: Annotated[
        str | None, typer.Option(*CONTEXT_OPTIONS, metavar="NAME", help=CONTEXT_HELP)
    ] = None,
) -> None:
    """Rundlet, a key-value server: one command to start, ordinary HTTP to use."""
    if ca_file is not None:
        os.environ[CA_VARIABLE] = str(ca_file)  # cli.place reads it there
    if context is not None:
        os.environ[CONTEXT_VARIABLE] = context  # as the line above
        for variable in PLACE_VARIABLES:  # the command line wins over the environment
            os.environ.pop(variable, None)


if __name__ == "__main__":
    run(lambda: app(prog_name="rundlet"))
