"""Backups of the log store: take them, look at them, prune them.

The work is done in ``log.backup``; here is what the layers above may use of it, without what needs
the engine to be loaded. To restore is in ``care``.
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
