"""The stores to back up: of a server, or opened in this process."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Final, TypeVar

import rundlet
from rundlet import Client
from rundlet_server.cli.place.target import Target
from rundlet_server.storage.backing import Backup, BackupFile, BackupSource, leased
from rundlet_server.storage.errors import BackupGone

LEASE_S: Final = 600.0
"""Long enough: a command requests the next part much sooner."""
_ATTEMPTS: Final = 5
_Result = TypeVar("_Result")


def with_source(target: Target, work: Callable[[BackupSource], _Result]) -> _Result:
    """Take a backup of a store and work on it; if its lease ends meanwhile, take another one."""
    for _ in range(_ATTEMPTS - 1):
        with suppress(BackupGone), source_of(target) as source:
            return work(source)
    with source_of(target) as source:
        return work(source)


@contextmanager
def source_of(target: Target) -> Iterator[BackupSource]:
    """Hold a backup of a store while the block runs."""
    if not isinstance(target, Client):
        from rundlet_server.cli.place.store import StoreTarget  # noqa: PLC0415 - loads the engine, which takes its time

        assert isinstance(target, StoreTarget)  # the only other target
        with leased(target.store.backups, LEASE_S) as source:
            yield source
        return
    backup = _taken(target)
    try:
        yield _ServerSource(target, backup)
    finally:
        with suppress(rundlet.RundletError):  # it ends by itself
            target.release_backup(backup.id)


def _taken(client: Client) -> rundlet.Backup:
    """Take a backup on a server; the first one of a large store takes many requests."""
    while True:
        try:
            return client.take_backup(lease_s=LEASE_S)
        except rundlet.Unavailable as ex:
            if ex.problem != "backup-not-ready":
                raise


class _ServerSource:
    """See ``BackupSource``."""

    def __init__(self, client: Client, backup: rundlet.Backup) -> None:
        self._client = client
        self.backup = Backup(
            backup.id,
            backup.store_id,
            backup.revision,
            backup.oldest_revision,
            _microseconds(backup.time.timestamp()),
            tuple(BackupFile(file.name, file.size, file.sha256) for file in backup.files),
            _microseconds(backup.expires.timestamp()),
        )

    def read(self, name: str, start: int, size: int) -> bytes:
        """See ``BackupSource.read``."""
        try:
            return self._client.backup_bytes(self.backup.id, name, start, size)
        except rundlet.BackupGone as ex:
            raise BackupGone from ex


def _microseconds(seconds: float) -> int:
    return round(seconds * 1_000_000)
