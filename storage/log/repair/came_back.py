"""Find keys that have an older value again after a repair."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from rundlet_server.storage.log.check.rebuild import live_rows
from rundlet_server.storage.log.index.columns import Columns
from rundlet_server.storage.log.repair.known_versions import KnownIndex
from rundlet_server.storage.log.repair.log import LogRepair
from rundlet_server.storage.log.repair.report import CameBack


def came_back(log: LogRepair, columns: Columns) -> Iterator[CameBack]:
    """Yield the keys whose value in the repaired log was replaced or deleted before.

    Args:
        log: the finished repair of the log.
        columns: the index of the repaired log.
    """
    lost: dict[bytes, int] = {}
    for version in log.lost:
        lost[version.key] = max(lost.get(version.key, 0), version.revision)
    if not lost and not log.is_mixed:
        return
    for row in np.flatnonzero(live_rows(columns)).tolist():
        key, revision = columns.key(row), int(columns.rows["revision"][row])
        newer = lost.get(key, 0)
        if newer > revision:
            yield _came_back(key, revision, newer)
        elif log.is_mixed and _is_left_out(key, revision, log.indexes):
            yield _came_back(key, revision, 0)


def _came_back(key: bytes, revision: int, newer: int) -> CameBack:
    return CameBack(key.decode(errors="backslashreplace"), revision, newer)


def _is_left_out(key: bytes, revision: int, indexes: Sequence[KnownIndex]) -> bool:
    """Return whether the newest index file of that part of the log does not know the key.

    An index file always knows the newest version of a key, unless that is a delete which nothing
    needs any more. So the key was deleted, and an older segment that was put back holds it.
    """
    for index in indexes:
        if index.covers(revision):
            return not index.newest_revision(key)
    return False
