"""An index made of the log alone, to compare with the index files or to replace them."""

from __future__ import annotations

import numpy as np

from rundlet_server.storage.log.format.frame import Totals
from rundlet_server.storage.log.format.record import OVERHEAD
from rundlet_server.storage.log.index import columns as index_columns
from rundlet_server.storage.log.index.columns import (
    MERGE_FACTOR,
    OLDER,
    Columns,
    Flags,
    is_tombstone,
)
from rundlet_server.storage.log.index.delta import Delta
from rundlet_server.storage.log.index.meta_sizes import meta_sizes


class IndexBuilder:
    """Gathers the deltas of segments, given in log order.

    They are merged as index files are: small ones together, so that a row is copied only a few
    times, however many segments there are.
    """

    def __init__(self) -> None:
        self._parts = [index_columns.from_delta(Delta(0, 0))]

    def add(self, delta: Delta) -> None:
        """Add a segment; all its revisions are above those added before."""
        self.add_columns(index_columns.from_delta(delta))

    def add_columns(self, columns: Columns) -> None:
        """Add the index of a segment or of several, as ``add`` does."""
        self._parts.append(columns)
        while len(self._parts) > 1 and self._is_merge_due():
            self._merge_last()

    def columns(self) -> Columns:
        """Return the index of all that was added."""
        while len(self._parts) > 1:
            self._merge_last()
        return self._parts[0]

    def _is_merge_due(self) -> bool:
        return self._parts[-2].row_count <= MERGE_FACTOR * self._parts[-1].row_count

    def _merge_last(self) -> None:
        newer = self._parts.pop()
        is_first = not self._parts[-1].row_count
        self._parts[-1] = newer if is_first else index_columns.merge(newer, self._parts[-1])


def live_rows(columns: Columns) -> Flags:
    """Return one flag per row: whether it is the newest version of its key, and a value."""
    is_newest: Flags = (columns.rows["flags"][:-1] & OLDER) == 0
    return is_newest & ~is_tombstone(columns)


def count_totals(columns: Columns) -> Totals:
    """Count the keys that have a value, and the bytes of their values (of expired ones, too)."""
    is_live = live_rows(columns)
    rows = columns.rows[:-1]
    key_sizes = np.diff(columns.rows["key_offset"].astype(np.int64))
    sizes = rows["size"].astype(np.int64) - OVERHEAD - key_sizes - meta_sizes(rows)
    return Totals(int(is_live.sum()), int(sizes[is_live].sum()))
