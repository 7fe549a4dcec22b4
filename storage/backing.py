"""Backups of the log store: take them, look at them, prune them.

The work is done in ``log.backup``. This module offers the layers above what they need of it without
loading the rest of the engine. ``care`` offers the restore.
"""

from rundlet_server.storage.backups import Backup, BackupFile
from rundlet_server.storage.log.backup.choosing import covered, indexes_in
from rundlet_server.storage.log.backup.following import FollowingTaker
from rundlet_server.storage.log.backup.index import BackupIndex, shown_time
from rundlet_server.storage.log.backup.local import leased
from rundlet_server.storage.log.backup.places import BackupPlace, DirectoryPlace
from rundlet_server.storage.log.backup.pruning import prune
from rundlet_server.storage.log.backup.taking import BackupSource, BackupTaker, Taken
from rundlet_server.storage.log.backup.verifying import BackupReport, verify_backups

__all__ = [
    "Backup",
    "BackupFile",
    "BackupIndex",
    "BackupPlace",
    "BackupReport",
    "BackupSource",
    "BackupTaker",
    "DirectoryPlace",
    "FollowingTaker",
    "Taken",
    "covered",
    "indexes_in",
    "leased",
    "prune",
    "shown_time",
    "verify_backups",
]
