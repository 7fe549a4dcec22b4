"""How much of the log is live: estimates from totals, without a look at any key."""

from __future__ import annotations

from collections.abc import Collection

from rundlet_server.storage.log.format.frame import Totals
from rundlet_server.storage.log.format.record import OVERHEAD
from rundlet_server.storage.log.index.file import IndexFile


def record_bytes(totals: Totals, indexes: Collection[IndexFile]) -> int:
    """Estimate how many bytes the newest versions of all keys take in the log.

    It assumes that keys are as long on average as those in the index files.
    """
    rows = sum(index.row_count for index in indexes)
    key_bytes = sum(index.key_bytes for index in indexes) / max(1, rows)
    return totals.value_bytes + round(totals.key_count * (key_bytes + OVERHEAD))


def live_bytes(
    active_totals: Totals, indexes: Collection[IndexFile], log_bytes: int, active_bytes: int
) -> int:
    """Estimate how many bytes of the log the newest versions need.

    Records in earlier segments that the active segment replaces count as live until it is full.

    Args:
        active_totals: of the store where the active segment begins.
        indexes: of the segments before that.
        log_bytes: of all segments.
        active_bytes: of the active segment, without what it replaces itself.
    """
    return min(log_bytes, record_bytes(active_totals, indexes) + active_bytes)
