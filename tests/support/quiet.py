"""A store that does nothing in the background, for tests of one order of its steps."""

from __future__ import annotations

from rundlet_server.storage.log.store import LogStore


def quiet(store: LogStore) -> LogStore:
    """End the thread that syncs and looks around by itself; the store can be used and closed."""
    store._housekeeper.stop()
    store._housekeeper._stopping.clear()  # else ``close`` would take the store for closed
    return store
