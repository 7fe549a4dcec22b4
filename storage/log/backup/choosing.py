"""Which backup of a place holds a revision or a time.

A backup holds the revisions from its oldest to its own, and every time from the time of its oldest
revision to the moment at which it was taken.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rundlet_server.storage.errors import InvalidRequest, NotInBackup
from rundlet_server.storage.log.backup.index import BackupIndex, read_index, shown_time
from rundlet_server.storage.log.backup.names import is_index
from rundlet_server.storage.log.backup.places import BackupPlace


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be restored of a backup.

    Attributes:
        index: of the backup.
        revision: the last one that is wanted.
        time_us: with it, only commits up to this time.
        newest_known: the newest revision in any backup of the place, including backups of stores
            that were restored from it.
    """

    index: BackupIndex
    revision: int
    time_us: int | None
    newest_known: int

    def includes(self, revision: int, time_us: int) -> bool:
        """Return whether a commit is wanted."""
        return revision <= self.revision and (self.time_us is None or time_us <= self.time_us)


def indexes_in(place: BackupPlace) -> list[BackupIndex]:
    """Return all backups of a place, oldest first.

    Raises:
        Damaged, UnknownFormat: an index cannot be used.
    """
    found = [read_index(place, name) for name in place.sizes() if is_index(name)]
    return sorted(found, key=lambda index: (index.time_us, index.revision))


def choose(
    place: BackupPlace,
    *,
    revision: int | None = None,
    time_us: int | None = None,
    backup: str | None = None,
) -> Wanted:
    """Return what to restore: the newest backup, or the oldest one that holds the wanted state.

    Args:
        place: with the backups.
        revision: to restore.
        time_us: to restore: the newest commit at or before it.
        backup: the name of the only backup to look at.

    Raises:
        NotInBackup: no backup holds that revision or time.
        InvalidRequest: both revision and time are given, or backups of two stores hold it.
        Damaged, UnknownFormat: an index cannot be used.
    """
    if revision is not None and time_us is not None:
        raise InvalidRequest("give a revision or a time, not both")
    indexes = indexes_in(place)
    candidates = [index for index in indexes if backup in (None, index.name)]
    if not candidates:
        what = f"there is no backup {backup}" if backup else "there are no backups"
        raise NotInBackup(f"{what} in {place}")
    if revision is None and time_us is None:
        return _wanted(candidates[-1], indexes, candidates[-1].revision, None)
    if revision is not None:
        held = [each for each in candidates if each.oldest_revision <= revision <= each.revision]
        what = f"revision {revision}"
    else:
        assert time_us is not None
        held = [each for each in candidates if time_us <= each.time_us]
        what = shown_time(time_us)
    if not held:
        raise NotInBackup(f"no backup in {place} holds {what}; they hold {covered(indexes)}")
    if len({each.store_id for each in held}) > 1:
        names = ", ".join(each.name for each in held)
        raise InvalidRequest(f"backups of several stores hold {what}; name one of them: {names}")
    chosen = min(held, key=lambda each: (each.revision, each.time_us))
    through = chosen.revision if revision is None else revision
    return _wanted(chosen, indexes, through, time_us)


def _wanted(
    index: BackupIndex, indexes: Sequence[BackupIndex], revision: int, time_us: int | None
) -> Wanted:
    return Wanted(index, revision, time_us, max(each.revision for each in indexes))


def covered(indexes: Sequence[BackupIndex]) -> str:
    """Return a text of the revisions that some backups hold, with adjacent spans joined."""
    spans: list[list[int]] = []
    for index in sorted(indexes, key=lambda each: (each.store_id, each.oldest_revision)):
        if spans and spans[-1][0] <= index.oldest_revision <= spans[-1][1] + 1:
            spans[-1][1] = max(spans[-1][1], index.revision)
        else:
            spans.append([index.oldest_revision, index.revision])
    return "revisions " + ", ".join(f"{first} to {last}" for first, last in spans)
