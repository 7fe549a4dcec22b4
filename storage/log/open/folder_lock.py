"""The lock of a store's folder."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Final

from rundlet_server.storage.files import File, Files
from rundlet_server.storage.forks import ProcessGuard
from rundlet_server.storage.log.place import StorePlace

LOCK_NAME: Final = "LOCK"  # held by the process that writes
MAINTENANCE_LOCK_NAME: Final = "MAINTENANCE"  # held by the process that maintains the store


class FolderLock:
    """The lock by which the writers of all processes take turns; a context manager.

    The threads of one process take turns by a lock of their own first.

    Attributes:
        guard: refuses a forked child, in which the lock between threads may be held for ever.
        place: where the store is; a process whose path leads to another store gets no lock.
    """

    def __init__(self, files: Files, folder: Path) -> None:
        self._file: File = files.open(folder / LOCK_NAME, create=True)
        self._threads = threading.Lock()
        self.guard = ProcessGuard()
        self.place = StorePlace(files, folder)
        self.place.add(LOCK_NAME, self._file.identity())

    def acquire(self) -> None:
        """Wait for the lock.

        Raises:
            Unavailable: the path leads to another store now, see ``StorePlace``.
            OSError: the kernel refuses it.
            OpenedBeforeFork: this process is a child of the one that opened the folder.
        """
        self.guard.require_own()
        self._threads.acquire()
        try:
            self._file.lock()
        except BaseException:
            self._threads.release()
            raise
        try:
            self.place.require()
        except BaseException:
            self.release()
            raise

    def release(self) -> None:
        """Release the lock for the next writer."""
        try:
            self._file.unlock()
        finally:
            self._threads.release()

    def __enter__(self) -> None:
        self.acquire()

    def __exit__(self, *_: object) -> None:
        self.release()

    def close(self) -> None:
        """Close the file."""
        self._file.close()
