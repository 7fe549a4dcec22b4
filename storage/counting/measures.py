"""What a store measures of its own work, for operators; the store itself never reads it."""

from __future__ import annotations

import time
from bisect import bisect_left
from typing import Final

from rundlet_server.storage.counting.counters import LATEST, SUM_WORD, Histogram, SharedCounters

_MS: Final = 1_000_000
_S: Final = 1_000 * _MS

SYNC_NS: Final = "sync_ns"
CHECKPOINT_NS: Final = "checkpoint_ns"
COMPACTION_NS: Final = "compaction_ns"
GROUP_COMMITS: Final = "group_commits"
HISTOGRAMS: Final = {
    SYNC_NS: Histogram(
        (
            *(50_000, 100_000, 250_000, 500_000),
            *(1 * _MS, 2_500_000, 5 * _MS, 10 * _MS, 25 * _MS, 50 * _MS),
            *(100 * _MS, 250 * _MS, 500 * _MS, 1 * _S, 2_500 * _MS, 10 * _S),
        )
    ),
    CHECKPOINT_NS: Histogram(
        (*(10 * _MS, 50 * _MS, 100 * _MS, 500 * _MS), *(1 * _S, 5 * _S, 10 * _S, 60 * _S, 300 * _S))
    ),
    COMPACTION_NS: Histogram(
        (*(100 * _MS, 500 * _MS, 1 * _S, 5 * _S), *(10 * _S, 60 * _S, 300 * _S, 1_800 * _S))
    ),
    GROUP_COMMITS: Histogram((1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 128, 256)),
}
"""Bounds by name; times in nanoseconds."""
_GROUP_BOUNDS: Final = HISTOGRAMS[GROUP_COMMITS].bounds

APPENDED_BYTES: Final = "appended_bytes"
COMPACTION_READ_BYTES: Final = "compaction_read_bytes"
COMPACTION_WRITTEN_BYTES: Final = "compaction_written_bytes"
DISK_ERRORS: Final = "disk_errors"
MAINTENANCE_FAILURES: Final = "maintenance_failures"
LAST_DISK_ERROR_US: Final = LATEST + "disk_error_us"


class Measures:
    """Counts and times what a store does."""

    def __init__(self, shared: SharedCounters | None = None) -> None:
        """Keep the figures in ``shared``; by default this process keeps its own."""
        self.shared = shared or SharedCounters()

    def committed(self, count: int) -> None:
        """Note that so many commits were written together."""
        row = self.shared.own.rows[GROUP_COMMITS]
        row[bisect_left(_GROUP_BOUNDS, count)] += 1
        row[SUM_WORD] += count

    def appended(self, size: int) -> None:
        """Note that so many bytes were added to the log."""
        self.shared.own.rows[APPENDED_BYTES][0] += size

    def synced(self, started_ns: int) -> None:
        """Note that the log was synced; all times are of ``time.perf_counter_ns``."""
        self._note(SYNC_NS, time.perf_counter_ns() - started_ns)

    def checkpointed(self, started_ns: int) -> None:
        """Note that index files were written or merged."""
        self._note(CHECKPOINT_NS, time.perf_counter_ns() - started_ns)

    def compacted(self, started_ns: int, *, bytes_read: int, bytes_written: int) -> None:
        """Note that segments were rewritten."""
        self._note(COMPACTION_NS, time.perf_counter_ns() - started_ns)
        self.shared.add(COMPACTION_READ_BYTES, bytes_read)
        self.shared.add(COMPACTION_WRITTEN_BYTES, bytes_written)

    def refused(self, time_us: int) -> None:
        """Note that the disk refused a write."""
        self.shared.add(DISK_ERRORS)
        self.shared.note_latest(LAST_DISK_ERROR_US, time_us)

    def maintenance_failed(self) -> None:
        """Note that a job of maintenance failed, or its process."""
        self.shared.add(MAINTENANCE_FAILURES)

    def _note(self, name: str, amount: int) -> None:
        self.shared.note(name, HISTOGRAMS[name], amount)
