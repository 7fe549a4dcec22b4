"""The lock of a store's folder."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Final

from storage.files import File, Files

LOCK_NAME: Final = "LOCK"


class FolderLock:
    """The lock by which the writers of all processes take turns: ``with lock``.

    The threads of a process take turns by a lock of their own first.
    """

    def __init__(self, files: Files, folder: Path) -> None:
        self._file: File = files.open(folder / LOCK_NAME, create=True)
        self._threads = threading.Lock()

    def __enter__(self) -> None:
        self._threads.acquire()
        try:
            self._file.lock()
        except BaseException:
            self._threads.release()
            raise

    def __exit__(self, *_: object) -> None:
        try:
            self._file.unlock()
        finally:
            self._threads.release()

    def close(self) -> None:
        """Close the file."""
        self._file.close()
