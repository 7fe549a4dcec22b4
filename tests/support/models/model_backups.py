"""``Backups`` of one small file, for tests that need some backup."""

from __future__ import annotations

import hashlib
import math

from rundlet_server.storage.backups import Backup, BackupFile, OpenBackupFile
from rundlet_server.storage.errors import BackupGone

CONTENT = b"manifest"


class ModelBackups:
    """Backups that are held for ever, each of one file ``MANIFEST``."""

    def __init__(self) -> None:
        self._held: dict[str, Backup] = {}

    def hold(self, backup_id: str) -> Backup:
        """Hold a backup with this id."""
        file = BackupFile("MANIFEST", len(CONTENT), hashlib.sha256(CONTENT).hexdigest())
        self._held[backup_id] = Backup(backup_id, "model", 1, 0, 0, (file,), 0)
        return self._held[backup_id]

    def take(self, lease_s: float, *, work_s: float = math.inf) -> Backup:  # noqa: ARG002 - they are held for ever
        return self.hold(f"{len(self._held):032x}")

    def find(self, backup_id: str) -> Backup:
        if backup_id not in self._held:
            raise BackupGone
        return self._held[backup_id]

    def open(self, backup_id: str, name: str) -> OpenBackupFile | None:
        named = [file for file in self.find(backup_id).files if file.name == name]
        return _Opened(named[0]) if named else None

    def release(self, backup_id: str) -> None:
        self.find(backup_id)
        del self._held[backup_id]


class _Opened:
    def __init__(self, file: BackupFile) -> None:
        self.file = file

    def read(self, start: int, size: int) -> bytes:
        return CONTENT[start : start + size]
