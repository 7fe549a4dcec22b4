"""What a store holds and takes on disk, from totals that the store keeps anyway."""

from __future__ import annotations

from collections.abc import Mapping

from rundlet_server.storage.interface import Stats
from rundlet_server.storage.log.index.estimates import live_bytes
from rundlet_server.storage.log.read.expired import Expired
from rundlet_server.storage.log.read.view import Head, View
from rundlet_server.storage.reports import Gauge


def stats_of(view: View, head: Head, expired: Expired) -> Stats:
    """Return the statistics of a view.

    Args:
        view: of the store.
        head: the newest commit of the view.
        expired: what has expired and no commit has removed yet.
    """
    return Stats(
        head.revision,
        view.manifest.oldest_revision,
        head.totals.key_count - expired.key_count,
        head.totals.value_bytes - expired.value_bytes,
    )


def gauges_of(view: View) -> Mapping[str, Gauge]:
    """Return the gauges of the files behind a view."""
    log_bytes = view.log_bytes
    active_totals = view.manifest.active.totals
    active = view.active
    active_bytes = active.offset - active.replaced_bytes
    live = live_bytes(active_totals, view.indexes, log_bytes, active_bytes)
    return {
        "segments": Gauge(len(view.manifest.segments), "Files of the log."),
        "log_bytes": Gauge(log_bytes, "Size of the log."),
        "live_bytes": Gauge(live, "Part of the log that newest versions need; an estimate."),
        "dead_bytes": Gauge(
            log_bytes - live, "Part of the log that they do not need; an estimate."
        ),
        "index_files": Gauge(len(view.indexes), "Index files."),
        "index_bytes": Gauge(view.manifest.index_bytes, "Size of the index files."),
        "unindexed_segments": Gauge(
            len(view.deltas) - 1, "Full segments that wait for their index file."
        ),
        "unindexed_records": Gauge(
            view.unindexed_count,
            "Records that each process holds in memory, as no index file has them.",
        ),
    }
