"""``rundlet serve``: start a server with the settings of the command line and the environment."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated

import typer

from rundlet_server.cli.serve.environ import warn_of_unknown
from rundlet_server.cli.serve.options import takes_settings
from rundlet_server.functions.settings.reading import GivenOptions
from rundlet_server.functions.settings.rules import serve_options, with_file

commands = typer.Typer()


@commands.command("serve", epilog="Example: rundlet serve example.data --port 9000")
@takes_settings()
def serve(
    file: Annotated[
        Path | None,
        typer.Argument(
            exists=True, dir_okay=False, help="A key-value text file to load first, once."
        ),
    ] = None,
    *,
    given: GivenOptions,
) -> None:
    """Run the server."""
    warn_of_unknown(os.environ)
    found = serve_options(given, os.environ, is_terminal=sys.stderr.isatty())
    # Falcon, waitress and the engine: slow to load, and no other command needs them all.
    from rundlet_server.server import run  # noqa: PLC0415 # see above

    run.serve(with_file(found.instance, file), run.Telling(_say, _load_progress))


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


@contextlib.contextmanager
def _load_progress() -> Iterator[Callable[[int, int, int], None]]:
    """Draw a bar on a terminal; the callback takes bytes done, bytes in all, and lines."""
    from rich.console import Console  # noqa: PLC0415 - rich takes its time
    from rich.progress import (  # noqa: PLC0415 - see above
        BarColumn,
        DownloadColumn,
        Progress,
        TextColumn,
    )

    columns = (
        TextColumn("loading"),
        BarColumn(),
        DownloadColumn(),
        TextColumn("{task.description}"),
    )
    console = Console(stderr=True)
    with Progress(
        *columns, console=console, transient=True, disable=not console.is_terminal
    ) as bar:
        task = bar.add_task("", total=None)

        def show(done: int, total: int, lines: int) -> None:
            bar.update(task, completed=done, total=total, description=f"{lines:,} lines")

        yield show
