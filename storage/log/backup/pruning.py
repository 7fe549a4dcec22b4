"""Prune a backup directory: remove old backups, then the pieces that no other one needs.

An index is removed, durably, before a piece that it needs. So if a process dies, each index that is
left still has all its pieces.
"""

from __future__ import annotations

from collections.abc import Sequence

from rundlet_server.storage.log.backup.choosing import indexes_in
from rundlet_server.storage.log.backup.index import BackupIndex
from rundlet_server.storage.log.backup.pieces import SegmentKey, pieces_in
from rundlet_server.storage.log.backup.places import BackupPlace


def prune(
    place: BackupPlace, now_us: int, *, keep: int | None = None, keep_for_s: float | None = None
) -> list[BackupIndex]:
    """Remove the backups that neither rule keeps; the newest one always stays.

    Args:
        place: with the backups.
        now_us: the present time, in microseconds since the epoch.
        keep: this many of the newest backups stay.
        keep_for_s: the backups of the last so many seconds stay.

    Returns:
        The backups that were removed, oldest first.

    Raises:
        Damaged, UnknownFormat: an index cannot be used; nothing was removed.
    """
    indexes = indexes_in(place)
    since_us = now_us if keep_for_s is None else now_us - keep_for_s * 1_000_000
    kept = indexes[-max(1, keep or 0) :]
    kept += [index for index in indexes if index.time_us >= since_us and index not in kept]
    removed = [index for index in indexes if index not in kept]
    remove_backups(place, removed, kept)
    return removed


def remove_backups(
    place: BackupPlace, removed: Sequence[BackupIndex], kept: Sequence[BackupIndex]
) -> None:
    """Remove backups of a place, and all pieces that the other backups, ``kept``, do not need."""
    for index in removed:
        place.remove(index.name)
    place.sync()
    ends: dict[SegmentKey, int] = {}
    for index in kept:
        for file in index.files:
            key = (index.store_id, file.name)
            ends[key] = max(ends.get(key, 0), file.size)
    for key, pieces in pieces_in(place.sizes()).items():
        for piece in pieces:
            if piece.start >= ends.get(key, 0):
                place.remove(piece.name)
