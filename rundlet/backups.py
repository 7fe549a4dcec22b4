"""Backups over HTTP: the records, and the part of the client that fetches them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from datetime import datetime

import httpx

from rundlet.answers import fields_of
from rundlet.transport import Request
from rundlet.wire import Fields


@dataclass(frozen=True, slots=True)
class BackupFile:
    """One file of a backup.

    Attributes:
        sha256: of the file, in hexadecimal.
    """

    name: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Backup:
    """A store at one revision, which the server holds until the lease ends.

    Attributes:
        time: nothing was committed after ``revision`` up to this time.
        expires: when the lease ends, unless a request extends it.
    """

    id: str
    store_id: str
    revision: int
    oldest_revision: int
    time: datetime
    files: tuple[BackupFile, ...]
    expires: datetime


class BackupCalls(ABC):
    """The methods of ``Client`` that take a backup; ``rundlet backup`` does all of it."""

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
        query = "" if lease_s is None else f"?lease={lease_s}"
        # If the answer is lost, the lease ends by itself: so it is sent again as a read is.
        answer = self._send(Request("POST", f"/v1/backup{query}", is_write=False))
        return _backup_of(fields_of(answer))

    def backup_bytes(self, backup_id: str, name: str, start: int, size: int) -> bytes:
        """Return ``size`` bytes of a file of a backup from ``start`` on.

        Raises:
            BackupGone: the lease has ended.
        """
        headers = {"Range": f"bytes={start}-{start + size - 1}"}
        path = f"/v1/backup/{backup_id}/{name}"
        return self._send(Request("GET", path, False, headers)).content

    def release_backup(self, backup_id: str) -> None:
        """End the lease of a backup.

        Raises:
            BackupGone: it has ended.
        """
        self._send(Request("DELETE", f"/v1/backup/{backup_id}", is_write=False))

    @abstractmethod
    def _send(self, request: Request) -> httpx.Response:
        """Send a request, as ``Client`` does it."""


def _backup_of(fields: Fields) -> Backup:
    files = tuple(
        BackupFile(row.text("name"), row.number("size"), row.text("sha256"))
        for row in fields.rows("files")
    )
    return Backup(
        id=fields.text("id"),
        store_id=fields.text("store_id"),
        revision=fields.number("revision"),
        oldest_revision=fields.number("oldest_revision"),
        time=datetime.fromisoformat(fields.text("time")),
        files=files,
        expires=datetime.fromisoformat(fields.text("expires")),
    )
