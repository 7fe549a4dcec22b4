"""The places of backups: a directory, or the URL of an object store."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from rundlet_server.cli.exits import CommandError, naming_full_disk
from rundlet_server.storage.backing import BackupPlace, DirectoryPlace

PlaceArgument = Annotated[
    str, typer.Argument(metavar="DIR", help="A directory, or the URL of an object store.")
]


@contextmanager
def opened_place(text: str) -> Iterator[BackupPlace]:
    """Open a place for writing; no other process may write to it meanwhile.

    A directory is locked. An object store has no locks.
    """
    if _is_url(text):
        yield _object_place(text)
        return
    with naming_full_disk(text), DirectoryPlace(Path(text)) as place:
        yield place


def existing_place(text: str) -> BackupPlace:
    """Return a place for reading.

    Raises:
        CommandError: the directory does not exist.
    """
    if _is_url(text):
        return _object_place(text)
    if not Path(text).is_dir():
        message = f"there are no backups: {text} is not a directory"
        raise CommandError(message)
    return DirectoryPlace(Path(text))


def _is_url(text: str) -> bool:
    return "://" in text


def _object_place(url: str) -> BackupPlace:
    from rundlet_server.cli.backup.objects import ObjectPlace  # noqa: PLC0415 - an extra, and slow to load

    return ObjectPlace(url)
