"""Where backups are kept: a directory, or anything else that holds whole, named files.

A place does not interpret its files. It stores a file under its name in one step, never changes it,
and removes it by its name, so that an object store could serve as well as a directory.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Protocol, Self

from rundlet_server.storage.errors import InvalidRequest, Unavailable
from rundlet_server.storage.files import (
    File,
    Files,
    RealFiles,
    file_size,
    replace_file,
    write_unsynced,
)
from rundlet_server.storage.log.backup.names import (
    TEMPORARY_SUFFIX,
    is_half_written,
    is_of_backup,
)
from rundlet_server.storage.log.format import manifest as manifests

_LOCK_NAME: Final = "LOCK"


class BackupPlace(Protocol):
    """Holds files. One process at a time writes to it."""

    def __str__(self) -> str:
        """Return its name for people."""

    def sizes(self) -> Mapping[str, int]:
        """Return the names and sizes of the files of backups; other files may be there, too."""

    def read(self, name: str, start: int, size: int) -> bytes:
        """Return up to ``size`` bytes of a file from ``start`` on; fewer only at its end.

        Raises:
            FileNotFoundError: there is no such file.
        """

    def write(self, name: str, data: bytes) -> None:
        """Put a whole file there. A power cut may damage it until the next ``publish``."""

    def publish(self, name: str, data: bytes) -> None:
        """Put a file there durably: whole, and after all that was written, or not at all."""

    def remove(self, name: str) -> None:
        """Remove a file; a missing one is no error."""

    def sync(self) -> None:
        """Return once all that was written, and removed, is on stable storage."""


class DirectoryPlace:
    """A directory of this machine. In a ``with`` block, no other process may write to it."""

    def __init__(self, folder: Path, files: Files | None = None) -> None:
        """Use a folder, which is made when something is written."""
        self._folder = folder
        self._files: Files = files or RealFiles()
        self._unsynced: list[str] = []
        self._is_changed = False
        self._lock: File | None = None

    def __str__(self) -> str:
        return str(self._folder)

    def __enter__(self) -> Self:
        """Lock the directory, which is made if it is missing.

        Raises:
            Unavailable: another process has it locked.
            InvalidRequest: there is a store in it, whose writers use the same lock.
        """
        self._files.make_folder(self._folder)
        if manifests.FILE_NAME in self._files.names(self._folder):
            raise InvalidRequest(
                f"{self._folder} holds a store; name another directory for its backups"
            )
        self._lock = self._files.open(self._folder / _LOCK_NAME, create=True)
        if not self._lock.lock(wait=False):
            self._lock.close()
            raise Unavailable(f"another backup into {self._folder} is at work")
        try:
            for name in self._files.names(self._folder):
                if is_half_written(name):
                    self._files.unlink(self._folder / name)
        except BaseException:
            self._lock.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if self._lock is not None:
            self._lock.close()

    def sizes(self) -> Mapping[str, int]:
        """See ``BackupPlace.sizes``."""
        try:
            names = self._files.names(self._folder)
        except FileNotFoundError:
            return {}
        found = {}
        for name in names:
            if is_of_backup(name):
                with contextlib.suppress(FileNotFoundError, IsADirectoryError):
                    found[name] = file_size(self._files, self._folder / name)
        return found

    def read(self, name: str, start: int, size: int) -> bytes:
        """See ``BackupPlace.read``."""
        file = self._files.open(self._folder / name, writable=False)
        try:
            return file.pread(size, start)
        finally:
            file.close()

    def write(self, name: str, data: bytes) -> None:
        """See ``BackupPlace.write``."""
        temporary = self._folder / (name + TEMPORARY_SUFFIX)
        self._files.make_folder(self._folder)
        self._files.unlink(temporary)
        write_unsynced(self._files, temporary, data)
        self._files.rename(temporary, self._folder / name)
        self._unsynced.append(name)

    def publish(self, name: str, data: bytes) -> None:
        """See ``BackupPlace.publish``."""
        self._files.make_folder(self._folder)
        self.sync()
        replace_file(self._files, self._folder / name, data)

    def remove(self, name: str) -> None:
        """See ``BackupPlace.remove``."""
        self._files.unlink(self._folder / name)
        self._is_changed = True
        if name in self._unsynced:
            self._unsynced.remove(name)

    def sync(self) -> None:
        """See ``BackupPlace.sync``."""
        if not self._unsynced and not self._is_changed:
            return
        for name in self._unsynced:
            file = self._files.open(self._folder / name)
            try:
                file.sync()
            finally:
                file.close()
        self._files.sync_folder(self._folder)
        self._files.sync_folder(self._folder.absolute().parent)  # the directory may be new, too
        self._unsynced.clear()
        self._is_changed = False
