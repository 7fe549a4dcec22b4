"""Follow a store: take a backup whenever something was committed, and keep few of them.

The newest backup replaces the one before it. But a store drops its history after a time: if the
newest backup no longer reaches back to the last one that is kept, the one before it is kept, too.
So every revision from the first backup on can be restored, if the store still had it when a backup
was taken.
"""

from __future__ import annotations

from rundlet_server.storage.log.backup.choosing import indexes_in
from rundlet_server.storage.log.backup.index import BackupIndex
from rundlet_server.storage.log.backup.places import BackupPlace
from rundlet_server.storage.log.backup.pruning import remove_backups
from rundlet_server.storage.log.backup.taking import BackupSource, BackupTaker, Taken


class FollowingTaker:
    """Takes one backup after the other into one place; no other process may write to it."""

    def __init__(self, place: BackupPlace, taker: BackupTaker) -> None:
        """Begin; all backups that the place has already are kept."""
        self._place = place
        self._taker = taker
        self._kept = indexes_in(place)
        self._rolling: BackupIndex | None = None

    def take(self, source: BackupSource) -> Taken:
        """Take a backup, and remove the one before it unless it is needed; see ``BackupTaker``."""
        taken = self._taker.take(source)
        before, self._rolling = self._rolling, taken.index
        if before is None:
            if not self._is_reached(taken.index):
                self._kept.append(taken.index)
                self._rolling = None
        elif before.name != taken.index.name:
            if self._is_reached(taken.index):
                remove_backups(self._place, [before], [*self._kept, taken.index])
            else:
                self._kept.append(before)
        return taken

    def _is_reached(self, index: BackupIndex) -> bool:
        """Return whether a backup goes back to the last one of its store that is kept."""
        kept = [each.revision for each in self._kept if each.store_id == index.store_id]
        return bool(kept) and index.oldest_revision <= max(kept) + 1
