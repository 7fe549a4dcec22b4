"""What a log store says of itself."""

from __future__ import annotations

from typing import Final

from rundlet_server.storage.interface import Feature, StoreInfo
from rundlet_server.storage.log.read.view import View
from rundlet_server.storage.settings import StoreSettings

_FEATURES: Final = frozenset[Feature](
    {"history", "retention", "changes", "erase", "bulk_load", "compaction"}
)


def store_info(settings: StoreSettings, view: View) -> StoreInfo:
    """Return what does not change while the store is open."""
    return StoreInfo(
        "log",
        view.manifest.store_id.hex(),
        settings.is_read_only,
        settings.limits,
        {
            "sync": settings.sync,
            "sync_interval_s": settings.sync_interval_s,
            "segment_bytes_max": settings.segment_bytes_max,
            "segment_records_max": settings.segment_records_max,
            "cache_bytes_max": settings.cache_bytes_max,
        },
        _FEATURES,
    )
