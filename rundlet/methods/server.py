"""Methods on the server itself, and on its backups."""

from __future__ import annotations

from rundlet.calls import backups, server
from rundlet.calls.backups import Backup
from rundlet.methods.base import AsyncMethods, Methods


class ServerMethods(Methods):
    """Read facts about the server, and take backups; ``rundlet backup`` copies a whole backup."""

    def info(self) -> dict[str, object]:
        """Return the service document: versions, backend, store id, head revision, limits."""
        return self._run(server.info())

    def stats(self) -> dict[str, object]:
        """Return counts of the store and the server, by name."""
        return self._run(server.stats())

    def compact(self) -> None:
        """Start a compaction in the background, and return at once.

        Raises:
            ReadOnly: this server takes no writes.
        """
        return self._run(server.compact())

    def take_backup(self, *, lease_s: float | None = None) -> Backup:
        """Take a backup: the server holds its store at one revision, to copy it file by file.

        For the first backup the server reads its whole store once. While that takes long, this
        raises ``Unavailable`` with the problem ``backup-not-ready``: call it again.

        Args:
            lease_s: how many seconds after its last request the backup ends; by default an hour.

        Raises:
            Damaged: data of the store is corrupted.
            Forbidden: the token does not have the scope ``admin``.
        """
        return self._run(backups.take_backup(lease_s=lease_s))

    def backup_bytes(self, backup_id: str, name: str, start: int, size: int) -> bytes:
        """Return ``size`` bytes of a file of a backup from ``start`` on.

        Raises:
            BackupGone: the lease has ended.
        """
        return self._run(backups.backup_bytes(backup_id, name, start, size))

    def release_backup(self, backup_id: str) -> None:
        """End the lease of a backup.

        Raises:
            BackupGone: the lease has already ended.
        """
        return self._run(backups.release_backup(backup_id))


class AsyncServerMethods(AsyncMethods):
    """Does as ``ServerMethods`` does."""

    async def info(self) -> dict[str, object]:
        """Return the service document: versions, backend, store id, head revision, limits."""
        return await self._run(server.info())

    async def stats(self) -> dict[str, object]:
        """Return counts of the store and the server, by name."""
        return await self._run(server.stats())

    async def compact(self) -> None:
        """Start a compaction in the background, and return at once."""
        return await self._run(server.compact())

    async def take_backup(self, *, lease_s: float | None = None) -> Backup:
        """Take a backup: the server holds its store at one revision, to copy it file by file."""
        return await self._run(backups.take_backup(lease_s=lease_s))

    async def backup_bytes(self, backup_id: str, name: str, start: int, size: int) -> bytes:
        """Return ``size`` bytes of a file of a backup from ``start`` on."""
        return await self._run(backups.backup_bytes(backup_id, name, start, size))

    async def release_backup(self, backup_id: str) -> None:
        """End the lease of a backup."""
        return await self._run(backups.release_backup(backup_id))
