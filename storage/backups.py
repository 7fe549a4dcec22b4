"""What handlers, the command line and tests see of a backup that is being taken.

A backup is a set of files that do not change while it is held, and that together are the store at
one revision. The words are those of ``storage.interface``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple, Protocol


class BackupFile(NamedTuple):
    """One file of a backup.

    Attributes:
        name: the same in every backup of a store that holds the same file.
        size: in bytes. A file of this name in a later backup of the same store begins with these
            bytes, and may be longer.
        sha256: of these bytes, in hexadecimal.
    """

    name: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Backup:
    """A store at one revision, held until its lease ends.

    Attributes:
        id: of the lease.
        store_id: of the store.
        revision: of the last commit in it.
        oldest_revision: the oldest revision that can be read in it.
        time_us: nothing was committed after ``revision`` up to this time.
        files: all that it consists of.
        expires_us: when the lease ends.
    """

    id: str
    store_id: str
    revision: int
    oldest_revision: int
    time_us: int
    files: tuple[BackupFile, ...]
    expires_us: int


class OpenBackupFile(Protocol):
    """A file of a backup, open. It can be read to its end, even if the lease ends meanwhile."""

    file: BackupFile

    def read(self, start: int, size: int) -> bytes:
        """Return at least one and up to ``size`` bytes from ``start`` on."""


class Backups(Protocol):
    """The backups of a store that are held. Every process that has the store open sees the same."""

    def take(self, lease_s: float, *, work_s: float = math.inf) -> Backup:
        """Hold the store as it is now.

        Args:
            lease_s: how long the lease lasts after the last request for the backup.
            work_s: about how long this may take. The first backup of a large store takes longer,
                as all of it is read once.

        Raises:
            BackupNotReady: ``work_s`` is over; the next call continues the work.
            Damaged: the store is not what was written.
            ReadOnly: nothing can be written in the folder of the store.
            Unavailable: too many backups are held, or files change too fast.
        """

    def find(self, backup_id: str) -> Backup:
        """Return a backup that is held, its lease extended.

        Raises:
            BackupGone: its lease has ended, or there never was one.
        """

    def open(self, backup_id: str, name: str) -> OpenBackupFile | None:
        """Open a file of a backup, the lease extended; ``None`` if it has no such file.

        Raises:
            BackupGone: its lease has ended, or there never was one.
        """

    def release(self, backup_id: str) -> None:
        """End a lease.

        Raises:
            BackupGone: it has ended, or there never was one.
        """
