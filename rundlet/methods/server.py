"""Methods on the server itself, and on its backups."""

from __future__ import annotations

from rundlet.calls import backups, server
from rundlet.calls.backups import Backup
from rundlet.methods.base import AsyncMethods, Methods


class ServerMethods(Methods):
    """Ask the server about itself; take a backup, which ``rundlet backup`` does as a whole."""

    def info(self) -> dict[str, object]:
        """Return the service document: versions, backend, store id, head revision, limits."""
        return self._run(server.info())

    def stats(self) -> dict[str, object]:
        """Return counts of the store and the server, by name."""
        return self._run(server.stats())

    def compact(self) -> None:
        """Start a compaction in the background, and return at once.

        Raises:
            ReadOnly: there is nothing to compact.
        """
        return self._run(server.compact())

    def take_backup(self, *, lease_s: float | None = None) -> Backup:
        """Let the server hold its store as it is now, to be copied file by file.

        For the first one the server reads its whole store once. If that takes long, it answers
        ``Unavailable`` with the problem ``backup-not-ready`` meanwhile: ask again.

        Args:
            lease_s: how long after the last request for it the backup ends; by default an hour.

        Raises:
            Damaged: the store is not what was written.
            Forbidden: the token has no scope ``admin``.
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
            BackupGone: it has ended.
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
        """Let the server hold its store as it is now, to be copied file by file."""
        return await self._run(backups.take_backup(lease_s=lease_s))

    async def backup_bytes(self, backup_id: str, name: str, start: int, size: int) -> bytes:
        """Return ``size`` bytes of a file of a backup from ``start`` on."""
        return await self._run(backups.backup_bytes(backup_id, name, start, size))

    async def release_backup(self, backup_id: str) -> None:
        """End the lease of a backup."""
        return await self._run(backups.release_backup(backup_id))
