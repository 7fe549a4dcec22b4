"""Test that the garbage collector does not scan the index in memory."""

from __future__ import annotations

import subprocess
import sys

_WRITE_AND_READ = """
import gc, pathlib, sys
from rundlet_server.storage.opening import open_log_store
from rundlet_server.storage.settings import StoreSettings
from rundlet_server.storage.memory.collector import relax_collector
from rundlet_server.storage.interface import Put, Txn

relax_collector()
store = open_log_store(pathlib.Path(sys.argv[1]), StoreSettings(sync="never"))
before = gc.get_stats()[2]["collections"]
for start in range(0, 30_000, 1_000):
    store.commit(Txn([Put(f"key {number}", b"value") for number in range(start, start + 1_000)]))
    for number in range(start, start + 1_000):
        store.get(f"key {number}")
print(gc.get_stats()[2]["collections"] - before)
store.close()
"""


def test_no_full_collection_while_thousands_of_keys_are_written_and_read(tmp_path):
    command = [sys.executable, "-c", _WRITE_AND_READ, str(tmp_path)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60)

    assert done.stdout.split() == ["0"]
