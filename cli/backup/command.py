"""``rundlet backup``: copy a store into a directory, at first as a whole, later only new data."""

from __future__ import annotations

import os
from typing import Annotated, Final

import typer

from rundlet_server.cli.backup.following import follow
from rundlet_server.cli.backup.places import PlaceArgument, existing_place, opened_place
from rundlet_server.cli.backup.sources import with_source
from rundlet_server.cli.exits import CommandError, ExitCode, interruptible
from rundlet_server.cli.place.options import (
    DataOption,
    JsonOption,
    StoreOption,
    TokenOption,
    UrlOption,
    open_target,
)
from rundlet_server.cli.show.formats import (
    Format,
    FormatOption,
    Shape,
    format_of,
    table,
    write_rows,
)
from rundlet_server.cli.show.json_line import to_line
from rundlet_server.cli.show.progress import byte_progress
from rundlet_server.cli.show.sizes import shown_bytes
from rundlet_server.cli.show.terminal import escaped, write_line, write_lines
from rundlet_server.cli.show.times import seconds_of
from rundlet_server.storage.backing import (
    BackupIndex,
    BackupPlace,
    BackupTaker,
    Taken,
    covered,
    indexes_in,
    prune,
    shown_time,
)
from rundlet_server.storage.clock import system_clock_us

commands = typer.Typer()

_AGAIN: Final = "the backup is not complete; run the same command again, and it goes on from here"

_NICENESS: Final = 10
"""If the processors are busy, requests and the maintenance process run before the backup: a store
can wait longer for its backup than for a compaction."""


@commands.command("backup")
def backup(
    directory: PlaceArgument,
    *,
    following: Annotated[
        bool, typer.Option("--follow", help="Go on, a second or two behind the server.")
    ] = False,
    listing: Annotated[
        bool, typer.Option("--list", help="Only print which backups there are.")
    ] = False,
    pruning: Annotated[
        bool, typer.Option("--prune", help="Then remove old backups: --keep, --keep-for.")
    ] = False,
    keep: Annotated[
        int | None, typer.Option("--keep", metavar="N", min=1, help="Keep the newest N.")
    ] = None,
    keep_for: Annotated[
        str | None, typer.Option("--keep-for", metavar="TIME", help="Keep those of 30d, 12h ...")
    ] = None,
    output_format: FormatOption = None,
    url: UrlOption = None,
    data: DataOption = None,
    store: StoreOption = None,
    token: TokenOption = None,
    as_json: JsonOption = False,
) -> None:
    """Copy a store.

    Copies what the directory does not have yet, while the store is in use; rundlet restore makes a
    store of it again. After an interruption the same command resumes.

    Example: rundlet backup /mnt/backups --url http://db:8000
    """
    if listing:
        _list(existing_place(directory), format_of(output_format, as_json=as_json))
        return
    if output_format is not None:
        raise CommandError("--format needs --list", ExitCode.USAGE)
    keep_for_s = None if keep_for is None else seconds_of("--keep-for", keep_for)
    if pruning == (keep is None and keep_for_s is None):
        message = "--prune needs --keep or --keep-for, and these need --prune"
        raise CommandError(message, ExitCode.USAGE)
    _let_others_go_first()
    with open_target(url, data, token, store=store) as target, opened_place(directory) as place:
        if following:
            follow(target, place, as_json=as_json)
        with byte_progress("backing up") as progress, interruptible(_AGAIN):
            taken = with_source(target, BackupTaker(place, progress).take)
        removed = (
            prune(place, system_clock_us(), keep=keep, keep_for_s=keep_for_s) if pruning else []
        )
    if as_json:
        write_line(to_line({**_members(taken), "removed": [index.name for index in removed]}))
        return
    write_line(escaped(_summary(taken, place)))
    if removed:
        write_line(f"removed {len(removed)} older {'backup' if len(removed) == 1 else 'backups'}")


def _let_others_go_first() -> None:
    """Take a lower priority than a server on the same machine."""
    if os.getpriority(os.PRIO_PROCESS, 0) < _NICENESS:
        os.setpriority(os.PRIO_PROCESS, 0, _NICENESS)


def _summary(taken: Taken, place: BackupPlace) -> str:
    new = f"{shown_bytes(taken.bytes_fetched)} new of {shown_bytes(taken.bytes_total)}"
    return f"backed up revision {taken.index.revision} to {place}: {new}"


def _members(taken: Taken) -> dict[str, object]:
    return {
        **_described(taken.index),
        "bytes_new": taken.bytes_fetched,
        "bytes_total": taken.bytes_total,
    }


def _described(index: BackupIndex) -> dict[str, object]:
    return {
        "backup": index.name,
        "store_id": index.store_id,
        "oldest_revision": index.oldest_revision,
        "revision": index.revision,
        "time": shown_time(index.time_us),
    }


def _list(place: BackupPlace, wanted: Format | None) -> None:
    indexes = indexes_in(place)
    if wanted is not None:
        write_rows(indexes, _SHAPE, wanted)
        return
    write_lines(map(escaped, table((), map(_cells, indexes))))
    write_line(f"restorable: {covered(indexes)}" if indexes else "there are no backups")


def _cells(index: BackupIndex) -> list[str]:
    size = shown_bytes(sum(file.size for file in index.files))
    span = f"revisions {index.oldest_revision} to {index.revision}"
    return [index.name, shown_time(index.time_us), span, size]


_SHAPE: Final = Shape(
    _described,
    ("backup", "store_id", "oldest_revision", "revision", "time"),
    ("backup", "time", "revisions", "size"),
    _cells,
)
