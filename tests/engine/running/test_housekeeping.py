"""Test what an open store does between requests."""

from __future__ import annotations

import threading
import time
from contextlib import closing

import pytest

from rundlet_server.storage.checksum import checksum
from rundlet_server.storage.files import Buffer
from rundlet_server.storage.interface import Put, Txn
from rundlet_server.storage.log.index import file as index_file
from rundlet_server.storage.opening import open_log_store
from rundlet_server.storage.settings import StoreSettings
from tests.support import PATIENCE_S
from tests.support.disks.unsynced_files import UnsyncedFiles
from tests.support.processes.servers import wait_for


def test_syncs_go_on_while_index_files_are_verified(tmp_path, monkeypatch):
    settings = StoreSettings(files=UnsyncedFiles(), sync="interval", sync_interval_s=0.02)
    with closing(open_log_store(tmp_path, settings)) as store:
        for number in range(2_000):
            store.commit(Txn([Put(f"{number:02000}", b"")]))
        store.compact(wait=True)

    has_written = threading.Event()
    synced_at: list[bool] = []

    def slow_checksum(data: Buffer, seed: int = 0) -> int:
        """As slow as a disk that is busy; the first one waits for a write."""
        if threading.current_thread().name == "rundlet-housekeeping":
            assert has_written.wait(PATIENCE_S)
            page = store._parts.commit_page
            synced_at.append((page.durable or 0) >= (page.published or 0))
            time.sleep(0.002)
        return checksum(data, seed)

    monkeypatch.setattr(index_file, "checksum", slow_checksum)
    with closing(open_log_store(tmp_path, settings)) as store:
        store.commit(Txn([Put("new", b"value")]))
        has_written.set()
        until_s = time.monotonic() + PATIENCE_S
        while not store._follower.view.indexes[0]._is_verified:
            assert time.monotonic() < until_s
            time.sleep(0.01)

    assert len(synced_at) > 20
    assert any(synced_at[1:-1])


@pytest.mark.parametrize("failure", [OSError("a full table of files"), ValueError("a bug")])
@pytest.mark.parametrize("place", ["follower.refresh", "health.late_expiry"])
def test_syncs_go_on_although_other_housekeeping_fails(tmp_path, monkeypatch, place, failure):
    settings = StoreSettings(files=UnsyncedFiles(), sync="interval", sync_interval_s=0.01)
    has_failed = threading.Event()

    with closing(open_log_store(tmp_path, settings)) as store:
        part, method = place.split(".")
        works = getattr(getattr(store._parts, part), method)

        def failing() -> object:
            if threading.current_thread().name != "rundlet-housekeeping":
                return works()
            has_failed.set()
            raise failure

        monkeypatch.setattr(getattr(store._parts, part), method, failing)
        assert has_failed.wait(PATIENCE_S)

        store.commit(Txn([Put("key", b"value")]))

        page = store._parts.commit_page
        wait_for(lambda: (page.durable or 0) >= (page.published or 0))
