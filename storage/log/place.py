"""Whether the path of a store's folder still leads to the store that is open.

A process keeps the files that it has opened, even if they are removed or another folder takes their
place (``rm -rf data; cp -a backup data``, ``mv``, ``rsync``). Its commits would then go to files
that no name leads to, and its maintenance would write into a folder that belongs to another store.
So every change of the folder begins with a look at the files that all processes share.
"""

from __future__ import annotations

from pathlib import Path

from rundlet_server.storage.errors import Unavailable
from rundlet_server.storage.files import File, FileIdentity, Files


class StorePlace:
    """The files of an open store that must stay in their place. Any thread may use it."""

    def __init__(self, files: Files, folder: Path) -> None:
        self._files = files
        self._folder = folder
        self._opened: list[tuple[Path, FileIdentity]] = []

    def add(self, name: str, identity: FileIdentity) -> None:
        """Expect a file of the folder to stay the one that is open."""
        self._opened.append((self._folder / name, identity))

    def problem(self) -> str | None:
        """Return what is wrong, one sentence, or ``None``; it costs a ``stat`` for each file.

        Raises:
            OSError: the system refuses to answer.
        """
        for path, identity in self._opened:
            found = self._files.identity(path)
            if found != identity:
                return self._sentence(path, found)
        return None

    def require(self) -> None:
        """Refuse to go on if the path leads to another store, or to none.

        Raises:
            Unavailable: it does; nothing was changed.
            OSError: the system refuses to answer.
        """
        problem = self.problem()
        if problem is not None:
            raise Unavailable(problem)

    def require_same(self, path: Path, file: File) -> None:
        """Refuse to go on if a path no longer leads to an open file.

        Raises:
            Unavailable, OSError: see ``require``.
        """
        found = self._files.identity(path)
        if found != file.identity():
            raise Unavailable(self._sentence(path, found))

    def _sentence(self, path: Path, found: FileIdentity | None) -> str:
        what = "gone" if found is None else "another file"
        return (
            f"{self._folder} no longer holds the store that is open: its {path.name} is {what};"
            " put the folder back, or restart the server to serve what is there now"
        )
