"""Rundlet's log store without its cache: each ``get`` reads the log."""

from __future__ import annotations

from pathlib import Path

from bench.engines import Policy
from bench.engines.rundlet_engine import RundletEngine
from rundlet_server.storage.opening import open_log_store
from rundlet_server.storage.settings import StoreSettings


def open_engine(folder: Path, policy: Policy) -> RundletEngine:
    """See ``EngineKind.open``."""
    return RundletEngine(open_log_store(folder, StoreSettings(sync=policy, cache_bytes_max=0)))
