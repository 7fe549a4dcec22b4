"""Loads a key-value text file into a store; the engine reads and stores it block by block."""

from __future__ import annotations

from pathlib import Path

from rundlet_server.cli.exits import CommandError, ExitCode
from rundlet_server.cli.place.store import StoreTarget
from rundlet_server.cli.transfer.loading import Loaded, Progress, saying_how_far
from rundlet_server.storage.textfile.lines import BadFile
from rundlet_server.storage.textfile.loading import load_text_file


def load_text(
    path: Path, target: StoreTarget, progress: Progress, *, any_key: bool, skip_bad: bool
) -> Loaded:
    """Load a file.

    Raises:
        CommandError, Interrupted: as ``loading.load``.
    """
    with saying_how_far() as extent:

        def begin(rows: int) -> None:
            extent.total = rows
            progress.begin(rows)

        def advance(_bytes_done: int, _bytes_total: int, rows: int) -> None:
            progress.advance(rows - extent.stored)
            extent.stored = rows

        try:
            report = load_text_file(
                target.store,
                path,
                any_key=any_key,
                skip_bad=skip_bad,
                on_checked=begin,
                progress=advance,
            )
        except BadFile as ex:
            raise CommandError(str(ex.first_errors[0]), ExitCode.USAGE) from ex
    return Loaded(report.rows, report.duplicates, report.bad)
