"""Real files without syncs, for tests in which the power does not fail."""

from __future__ import annotations

import os
from pathlib import Path

from rundlet_server.storage.files import RealFile, RealFiles


class UnsyncedFile(RealFile):
    """A file whose sync does nothing."""

    __slots__ = ()

    def sync(self) -> None:
        pass


class UnsyncedFiles(RealFiles):
    """A file system whose syncs do nothing, so that a slow disk does not slow a test."""

    def open(self, path: Path, *, create: bool = False, writable: bool = True) -> RealFile:
        flags = (os.O_RDWR if writable else os.O_RDONLY) | os.O_CLOEXEC
        return UnsyncedFile(os.open(path, flags | (os.O_CREAT if create else 0), 0o600))

    def sync_folder(self, path: Path) -> None:
        pass
