"""Holds: long reads that need an old revision to stay readable.

Each hold is a file in the folder ``holds`` of the store that names the revision. Its owner has it
locked (flock) as long as the read goes on, so that the kernel ends the hold of a process that dies.

A hold is taken under the lock of the store, and a pass of maintenance looks at all holds under the
same lock before it installs its result. So either the pass sees the hold, or its owner sees what
the pass dropped.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final, NamedTuple

from rundlet_server.storage.files import File, Files
from rundlet_server.storage.log.owner import make_subfolder

FOLDER_NAME: Final = "holds"
_REVISION_SIZE: Final = 8


class Hold(NamedTuple):
    """A hold of this process."""

    path: Path
    file: File


class Holds:
    """The holds of a store, of all processes."""

    def __init__(self, files: Files, folder: Path) -> None:
        self._files = files
        self._folder = folder / FOLDER_NAME

    def take(self, revision: int) -> Hold:
        """Keep a revision readable until ``release``; the caller holds the store's lock.

        Raises:
            OSError: the disk has no room for the file.
        """
        make_subfolder(self._files, self._folder)
        path = self._folder / os.urandom(8).hex()
        file = self._files.open(path, create=True)
        try:
            file.lock()
            file.pwrite([revision.to_bytes(_REVISION_SIZE, "little")], 0)
        except BaseException:
            file.close()
            raise
        return Hold(path, file)

    def release(self, hold: Hold) -> None:
        """End a hold; the next call of ``lowest`` removes its file."""
        hold.file.close()

    def lowest(self) -> int | None:
        """Return the lowest revision held, and remove ended holds; the store's lock is held."""
        revisions = []
        for name in self._names():
            path = self._folder / name
            file = self._files.open(path)
            try:
                if file.lock(wait=False):
                    self._files.unlink(path)  # its owner is dead or done
                else:
                    data = file.pread(_REVISION_SIZE, 0)
                    revisions.append(int.from_bytes(data, "little"))
            finally:
                file.close()
        return min(revisions, default=None)

    def _names(self) -> list[str]:
        try:
            return self._files.names(self._folder)
        except FileNotFoundError:
            return []
