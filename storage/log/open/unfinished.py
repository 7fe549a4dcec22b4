"""The mark of a restore that has not finished: the folder with it is no store yet."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from rundlet_server.storage.errors import Unavailable
from rundlet_server.storage.files import Files
from rundlet_server.storage.log.format.manifest import FILE_NAME as MANIFEST_NAME
from rundlet_server.storage.log.format.names import TEMPORARY_SUFFIX

MARK_NAME: Final = "RESTORING"
BEGUN_NAME: Final = MARK_NAME + TEMPORARY_SUFFIX
"""A restore makes this file before it has the lock of the folder. So it means nothing beside a
manifest: a store that another process made or restored in between."""


def refuse_unfinished(files: Files, folder: Path) -> None:
    """Refuse a folder into which a restore is at work, or has died.

    Raises:
        Unavailable: there is such a mark.
    """
    is_unfinished = files.identity(folder / MARK_NAME) is not None
    if not is_unfinished and files.identity(folder / BEGUN_NAME) is not None:
        is_unfinished = files.identity(folder / MANIFEST_NAME) is None
    if is_unfinished:
        raise Unavailable(
            f"{folder} is no store yet: a restore into it has not finished; wait for it, or run it"
            " again"
        )
