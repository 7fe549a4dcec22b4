"""A backup source on this machine: the lease of a store that this process has open."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from rundlet_server.storage.backups import Backup, Backups, OpenBackupFile
from rundlet_server.storage.errors import BackupGone


class LeaseSource:
    """Reads the files of a lease; see ``BackupSource``."""

    def __init__(self, backups: Backups, backup: Backup) -> None:
        self.backup = backup
        self._backups = backups
        self._opened: OpenBackupFile | None = None

    def read(self, name: str, start: int, size: int) -> bytes:
        """See ``BackupSource.read``."""
        if self._opened is None or self._opened.file.name != name:
            self._opened = self._backups.open(self.backup.id, name)
            if self._opened is None:
                raise BackupGone
        return self._opened.read(start, size)


@contextlib.contextmanager
def leased(backups: Backups, lease_s: float) -> Iterator[LeaseSource]:
    """Hold a backup as long as the block runs."""
    backup = backups.take(lease_s)
    try:
        yield LeaseSource(backups, backup)
    finally:
        with contextlib.suppress(BackupGone):
            backups.release(backup.id)
