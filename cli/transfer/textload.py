"""Loads a key-value text file into a store; the engine reads and stores it block by block."""

from __future__ import annotations

from pathlib import Path

from rundlet_server.cli.exits import CommandError, ExitCode
from rundlet_server.cli.place.store import StoreTarget
from rundlet_server.cli.transfer.loading import Loaded, Progress, broken_off
from rundlet_server.storage import load_text_file
from rundlet_server.storage.errors import StoreError
from rundlet_server.storage.textfile import BadFile


def load_text(
    path: Path, target: StoreTarget, progress: Progress, *, any_key: bool, skip_bad: bool
) -> Loaded:
    """Load a file.

    Raises:
        CommandError: as ``loading.load``.
    """
    stored = 0

    def told(_bytes_done: int, _bytes_total: int, rows: int) -> None:
        nonlocal stored
        progress.advance(rows - stored)
        stored = rows

    try:
        report = load_text_file(
            target.store,
            path,
            any_key=any_key,
            skip_bad=skip_bad,
            on_checked=progress.begin,
            progress=told,
        )
    except BadFile as ex:
        raise CommandError(str(ex.first_errors[0]), ExitCode.USAGE) from ex
    except StoreError as ex:
        if stored == 0:
            raise
        raise broken_off(ex, stored) from ex
    return Loaded(report.rows, report.duplicates, report.bad)
