"""The mark of a restore that has not finished: the folder with it is no store yet."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from rundlet_server.storage.errors import Unavailable
from rundlet_server.storage.files import Files

MARK_NAME: Final = "RESTORING"


def refuse_unfinished(files: Files, folder: Path) -> None:
    """Refuse a folder into which a restore is at work, or has died.

    Raises:
        Unavailable: there is such a mark.
    """
    if files.identity(folder / MARK_NAME) is not None:
        raise Unavailable(
            f"{folder} is no store yet: a restore into it has not finished; wait for it, or run it"
            " again"
        )
