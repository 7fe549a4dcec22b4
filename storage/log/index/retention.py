"""Retention: which versions compaction may drop.

A version is no longer needed if a newer version of its key has a revision at or below the
*horizon*: the revision that was the head ``keep_for_s`` seconds ago (``maintain.horizon``).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from rundlet_server.storage.log.format.locator import Locator
from rundlet_server.storage.log.index.columns import OLDER, Columns, Flags, is_tombstone


def kept_versions(
    versions: Iterable[Locator], *, oldest_revision: int, keep_versions: int
) -> Iterator[Locator]:
    """Yield, of all versions found of a key, newest first, those that are still kept.

    Index files are merged a few at a time, so an older one may hold versions from before some that
    are gone already: the rule of ``needed_versions`` leaves them out.
    """
    newest, successor = None, None
    for number, locator in enumerate(versions):
        newest = newest or locator
        if successor is not None and successor.revision <= oldest_revision:
            is_counted = not newest.is_tombstone and number < keep_versions
            if not is_counted:
                return
        yield locator
        successor = locator


def needed_versions(columns: Columns, horizon: int, keep_versions: int) -> Flags:
    """Return one flag per row: false for versions that no read can ask for any more.

    The newest version of every key is needed, even if it is a tombstone. An older version is needed
    while no version at or below the horizon has replaced it, and as long as it is one of the newest
    ``keep_versions`` of a key that has a value.
    """
    rows = columns.rows[:-1]
    is_older = (rows["flags"] & OLDER) != 0
    successor = np.zeros(len(rows), np.uint64)
    successor[1:] = rows["revision"][:-1]
    numbers = np.arange(len(rows))
    first = np.maximum.accumulate(np.where(is_older, 0, numbers))
    is_gone = is_tombstone(columns)[first]
    is_counted = ~is_gone & (numbers - first < keep_versions)
    needed: Flags = ~is_older | (successor > np.uint64(horizon)) | is_counted
    return needed
