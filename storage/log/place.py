"""Check that the path of a store's folder still leads to the store that is open.

A process keeps the files that it has opened, even if they are removed or another folder takes their
place (``rm -rf data; cp -a backup data``, ``mv``, ``rsync``). Its commits would then go to files
that no name leads to, and its maintenance would write into a folder that belongs to another store.
So every change of the folder begins with a look at the file that was opened last, ``COMMIT``; and
once a second a process looks at every file that has to stay (``housekeeping``).
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from rundlet_server.storage.errors import Unavailable
from rundlet_server.storage.files import File, FileIdentity, Files


class _Expected(NamedTuple):
    path: Path
    identity: FileIdentity


class StorePlace:
    """The files of an open store that must stay in their place. Any thread may use it."""

    def __init__(self, files: Files, folder: Path) -> None:
        self._files = files
        self._folder = folder
        self._expected: list[_Expected] = []
        self._missed: _Expected | None = None

    def add(self, name: str, identity: FileIdentity) -> None:
        """Expect a file of the folder to stay the one that is open."""
        self._expected.append(_Expected(self._folder / name, identity))

    def look(self, path: Path | None = None, file: File | None = None) -> None:
        """Look at every expected file, and at one more that is open; remember what is missed.

        Raises:
            Unavailable: the path leads to another store, or to none.
            OSError: the system refuses to answer.
        """
        for expected in self._expected:
            self._require(expected)
        if path is not None and file is not None:
            self._require(_Expected(path, file.identity()))
        self._missed = None

    def require(self) -> None:
        """Refuse to go on if the path leads to another store; it costs one ``stat``.

        Raises:
            Unavailable, OSError: see ``look``.
        """
        if self._missed is not None:
            self._require(self._missed)
            self._missed = None  # it was put back
        self._require(self._expected[-1])

    def _require(self, expected: _Expected) -> None:
        found = self._files.identity(expected.path)
        if found == expected.identity:
            return
        self._missed = expected
        what = "gone" if found is None else "another file"
        raise Unavailable(
            f"{self._folder} no longer holds the store that is open: its {expected.path.name} is"
            f" {what}; put the folder back, or restart the server to serve what is there now"
        )
