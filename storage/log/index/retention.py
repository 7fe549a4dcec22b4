"""Retention: which versions compaction may drop, and which ones reads still show.

A version is no longer needed if a newer version of its key has a revision at or below the
*horizon*: the revision that was the head ``keep_for_s`` seconds ago (``maintain.horizon``); unless
it is one of the newest ``keep_versions`` of the newest life of a key that has a value. Earlier
lives, before a tombstone, are kept by the horizon alone.

Reads apply the same rule with the oldest revision of the manifest as the horizon. Compaction drops
nothing before the manifest says so, so a version that the rule keeps is there. A version that the
rule does not keep may be there, too, but is not shown: versions between it and the newest may be
gone. The same is possible for a version that the rule keeps only since the retention was raised.
The versions of one life have consecutive numbers, so a gap shows it.

An outcome (``record.OUTCOME``) is needed until it is forgotten, and no longer. Dropping it takes no
tombstone: an older record of its key in the log is forgotten, too.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from rundlet_server.storage.log.format.locator import Locator
from rundlet_server.storage.log.format.record import ERASE
from rundlet_server.storage.log.index.columns import (
    KIND_MASK,
    OLDER,
    Columns,
    Flags,
    is_outcome,
    is_tombstone,
    select,
)


def kept_versions(
    versions: Iterable[Locator], *, oldest_revision: int, keep_versions: int
) -> Iterator[Locator]:
    """Yield the versions that are still kept, of all versions of a key, newest first."""
    successor: Locator | None = None
    is_counted = True
    for number, locator in enumerate(versions):
        is_counted = (
            is_counted
            and number < keep_versions
            and not locator.is_tombstone
            and (successor is None or successor.version == locator.version + 1)
        )
        if successor and successor.revision <= oldest_revision and not is_counted:
            return
        yield locator
        successor = locator


def newest_life(kept: Iterable[Locator]) -> Iterator[Locator]:
    """Yield the values of a key since it was last created, newest first, even if it is deleted.

    Args:
        kept: versions of the key, newest first.
    """
    has_begun = False
    for locator in kept:
        if not locator.is_tombstone:
            has_begun = True
            yield locator
        elif has_begun:
            return


def needed_versions(
    columns: Columns, horizon: int, keep_versions: int, *, forgotten_s: int = 0
) -> Flags:
    """Return one flag per row: false for versions that no read can ask for any more.

    The newest version of every key is needed, even if it is a tombstone, except an outcome that is
    forgotten by the second ``forgotten_s``.
    """
    rows = columns.rows[:-1]
    is_older = (rows["flags"] & OLDER) != 0
    successor = np.zeros(len(rows), np.uint64)
    successor[1:] = rows["revision"][:-1]
    numbers = np.arange(len(rows))
    first = np.maximum.accumulate(np.where(is_older, 0, numbers))
    is_gone = is_tombstone(columns)
    lives = np.cumsum(is_gone)
    is_in_newest_life = (lives == lives[first]) & ~is_gone[first]
    is_counted = is_in_newest_life & (numbers - first < keep_versions)
    is_forgotten = is_outcome(columns) & (rows["version"] <= forgotten_s)
    needed: Flags = ~is_older | (successor > np.uint64(horizon)) | is_counted
    return needed & ~is_forgotten


def erasures(columns: Columns) -> dict[bytes, int]:
    """Return the revision of each key's last erasure among these rows."""
    is_erasure = (columns.rows["flags"][:-1] & KIND_MASK) == ERASE
    found: dict[bytes, int] = {}
    for row in np.flatnonzero(is_erasure).tolist():
        found.setdefault(columns.key(row), int(columns.rows["revision"][row]))
    return found


def without_erased(columns: Columns) -> Columns:
    """Return only the rows of versions that were not erased: none older than an erasure of its key.

    The result includes the erasures themselves.
    """
    rows = columns.rows[:-1]
    is_erasure = (rows["flags"] & KIND_MASK) == ERASE
    if not is_erasure.any():
        return columns
    first = np.maximum.accumulate(np.where((rows["flags"] & OLDER) != 0, 0, np.arange(len(rows))))
    newer_erasures = np.cumsum(is_erasure) - is_erasure
    return select(columns, newer_erasures == newer_erasures[first])
