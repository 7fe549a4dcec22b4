"""Test a system that does not tell one boot of the machine from another."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from rundlet_server.storage.interface import Put, Txn
from rundlet_server.storage.log.open import recovery
from rundlet_server.storage.log.store import LogStore
from rundlet_server.storage.opening import open_log_store
from rundlet_server.storage.settings import BOOT_ID_UNKNOWN, StoreSettings

UNKNOWN = StoreSettings(boot_id=BOOT_ID_UNKNOWN)
COMMITS = """
import sys
from pathlib import Path
from rundlet_server.storage.interface import Put, Txn
from rundlet_server.storage.opening import open_log_store
from rundlet_server.storage.settings import BOOT_ID_UNKNOWN, StoreSettings
store = open_log_store(Path(sys.argv[1]), StoreSettings(boot_id=BOOT_ID_UNKNOWN))
store.commit(Txn([Put("other", b"1")]))
store.close()
"""


@pytest.fixture
def recoveries(monkeypatch) -> list[Path]:
    """Grows by one each time that a process reads the end of the log."""
    found: list[Path] = []
    recover = recovery.recover_end

    def counted(files, folder, manifest, commit_page):
        found.append(folder)
        recover(files, folder, manifest, commit_page)

    monkeypatch.setattr(recovery, "recover_end", counted)
    return found


def put(store: LogStore, key: str) -> None:
    store.commit(Txn([Put(key, b"1")]))


def test_log_is_not_read_at_each_change_of_the_writer(tmp_path, recoveries):
    one, two = open_log_store(tmp_path, UNKNOWN), open_log_store(tmp_path, UNKNOWN)
    for number in range(10):
        put(one, f"one{number}")
        put(two, f"two{number}")
    one.close()
    three = open_log_store(tmp_path, UNKNOWN)
    put(three, "three")
    found = three.stats().key_count
    two.close()
    three.close()

    assert found == 21
    assert len(recoveries) == 1


def test_other_process_joins_without_reading_the_log(tmp_path, recoveries):
    store = open_log_store(tmp_path, UNKNOWN)
    subprocess.run([sys.executable, "-c", COMMITS, str(tmp_path)], check=True)
    put(store, "mine")
    found = [store.get(key) is not None for key in ("other", "mine")]
    store.close()

    assert found == [True, True]
    assert len(recoveries) == 1


def test_log_is_read_if_no_process_has_the_store_open(tmp_path, recoveries):
    for _ in range(2):
        store = open_log_store(tmp_path, UNKNOWN)
        put(store, "a")
        store.close()

    assert len(recoveries) == 2
