"""Backups: the records, and the operations that fetch them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from rundlet.answers import fields_of
from rundlet.calls.call import Call, Request, needed
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


def take_backup(*, lease_s: float | None) -> Call[Backup]:
    """Take a backup: the server holds its store at the current revision."""
    query = "" if lease_s is None else f"?lease={lease_s}"
    # If the answer is lost, the lease ends by itself, so a retry is as safe as for a read.
    response = yield Request("POST", f"/v1/backup{query}", is_write=False)
    return _backup_of(fields_of(needed(response)))


def backup_bytes(backup_id: str, name: str, start: int, size: int) -> Call[bytes]:
    """Return bytes of a file of a backup."""
    headers = {"Range": f"bytes={start}-{start + size - 1}"}
    response = yield Request("GET", f"/v1/backup/{backup_id}/{name}", False, headers)
    return needed(response).content


def release_backup(backup_id: str) -> Call[None]:
    """End the lease of a backup."""
    needed((yield Request("DELETE", f"/v1/backup/{backup_id}", is_write=False)))


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
