"""What a store holds and takes on disk, from totals that the store keeps anyway."""

from __future__ import annotations

from collections.abc import Collection

from rundlet_server.storage.interface import Stats
from rundlet_server.storage.log.format.locator import Locator
from rundlet_server.storage.log.index.estimates import live_bytes
from rundlet_server.storage.log.read.view import Head, View


def stats_of(view: View, head: Head, expired: Collection[tuple[bytes, Locator]]) -> Stats:
    """Return the statistics of a view.

    Args:
        view: of the store.
        head: the newest commit of the view.
        expired: keys whose expiry has passed and that no commit has removed yet.
    """
    log_bytes = view.log_bytes
    active_totals = view.manifest.active.totals
    live = live_bytes(active_totals, view.indexes, log_bytes, view.active.offset)
    internals: dict[str, int | float] = {
        "segments": len(view.manifest.segments),
        "log_bytes": log_bytes,
        "live_bytes": live,
        "dead_bytes": log_bytes - live,
        "index_files": len(view.indexes),
        "index_bytes": view.manifest.index_bytes,
        "unindexed_segments": len(view.deltas) - 1,
        "unindexed_records": view.unindexed_count,
    }
    return Stats(
        head.revision,
        view.manifest.oldest_revision,
        head.totals.key_count - len(expired),
        head.totals.value_bytes - sum(locator.value_size for _, locator in expired),
        internals,
    )
