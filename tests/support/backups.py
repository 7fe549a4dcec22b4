"""Take backups of open stores in tests, and restore them."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

from rundlet_server.storage.files import Files
from rundlet_server.storage.interface import Add, Delete, Op, Put, Store, Txn
from rundlet_server.storage.log.backup.choosing import choose
from rundlet_server.storage.log.backup.local import leased
from rundlet_server.storage.log.backup.places import DirectoryPlace
from rundlet_server.storage.log.backup.restoring import Restore, Restored
from rundlet_server.storage.log.backup.taking import BackupTaker, Taken
from tests.support.disks.unsynced_files import UnsyncedFiles

LEASE_S = 60.0
KEYS = ["a", "a/1", "b", "é", "z"]


def back_up(store: Store, folder: Path, files: Files | None = None) -> Taken:
    """Take a backup of a store into a directory."""
    place = DirectoryPlace(folder, files or UnsyncedFiles())
    with leased(store.backups, LEASE_S) as source:
        return BackupTaker(place).take(source)


def restore(
    backups: Path,
    folder: Path,
    *,
    revision: int | None = None,
    time_us: int | None = None,
    backup: str | None = None,
    files: Files | None = None,
) -> Restored:
    """Restore a backup of a directory into a new folder."""
    files = files or UnsyncedFiles()
    place = DirectoryPlace(backups, files)
    wanted = choose(place, revision=revision, time_us=time_us, backup=backup)
    return Restore(place, wanted, folder, files=files).run()


def random_txn(chance: random.Random) -> Txn:
    """Return a transaction that always succeeds: puts, deletes, sums."""
    return Txn([_random_op(chance, key) for key in chance.sample(KEYS, chance.randint(1, 3))])


def _random_op(chance: random.Random, key: str) -> Op:
    choices: Sequence[Op] = (
        Put(key, chance.choice([b"", b"7", b"x" * chance.randint(1, 300)]), "text/x-rare"),
        Put(key, b"%d" % chance.randint(-9, 9), metadata=(("author", "Zoë"), ("of", key))),
        Delete(key),
        Add(f"{key} count", 3),
    )
    return chance.choice(choices)
