"""``rundlet restore``: make a store in a new folder from a backup."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from rundlet_server.cli.backup.places import PlaceArgument, existing_place
from rundlet_server.cli.exits import CommandError, ExitCode, interruptible, naming_full_disk
from rundlet_server.cli.place.options import JsonOption
from rundlet_server.cli.show.json_line import to_line
from rundlet_server.cli.show.progress import byte_progress
from rundlet_server.cli.show.terminal import escaped, write_line
from rundlet_server.cli.show.times import moment_ago_us
from rundlet_server.storage.backing import shown_time
from rundlet_server.storage.clock import system_clock_us

commands = typer.Typer()


@commands.command("restore")
def restore(
    directory: PlaceArgument,
    *,
    to: Annotated[Path, typer.Option("--to", metavar="DATA", help="The folder of the new store.")],
    to_revision: Annotated[
        int | None, typer.Option("--to-revision", metavar="R", min=0, help="As of a revision.")
    ] = None,
    to_time: Annotated[
        str | None,
        typer.Option("--to-time", metavar="TIME", help="As of 2027-01-31T12:00:00Z, or 10m ago."),
    ] = None,
    backup: Annotated[
        str | None, typer.Option("--backup", metavar="NAME", help="Only from this backup.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Restore a backup.

    By default the newest one, as of its revision. The new store has a new id, and its revisions
    continue far above all revisions in the backups. The folder must be empty or missing.

    Example: rundlet restore /mnt/backups --to ./data --to-time 10m
    """
    from rundlet_server.storage.care import Restore, choose  # noqa: PLC0415 - loads the engine, which takes its time

    if to_revision is not None and to_time is not None:
        message = "give --to-revision or --to-time, not both"
        raise CommandError(message, ExitCode.USAGE)
    place = existing_place(directory)
    now_us = system_clock_us()
    time_us = None if to_time is None else moment_ago_us("--to-time", to_time, now_us)
    wanted = choose(place, revision=to_revision, time_us=time_us, backup=backup)
    again = f"{to} is no store yet; run the same command again"
    with byte_progress("restoring") as progress, interruptible(again), naming_full_disk(to):
        restored = Restore(place, wanted, to, progress=progress).run()
    if as_json:
        write_line(to_line({**asdict(restored), "time": shown_time(restored.time_us)}))
        return
    keys = "key" if restored.key_count == 1 else "keys"
    counts = f"{restored.key_count} {keys} at revision {restored.revision}"
    write_line(escaped(f"restored {counts} to {to}, from {restored.backup}"))
    write_line(escaped(f"its next revision is {restored.next_revision}; serve it: --data {to}"))
