"""Hold a store open until killed: ``python -m bench.engine.victim JOB DIR COUNT``.

The job ``grow`` makes a store of ``COUNT`` keys; ``reopen`` opens a store, gets a key and writes
``COUNT`` more. ``append`` writes ``COUNT`` records, a commit each, that no index file holds;
``replay`` opens such a store. Then the process prints its figures as JSON and waits to be killed.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

from bench.engines import OURS
from bench.workload import key_of, rows, value_of
from rundlet_server.storage.interface import Put, Txn
from rundlet_server.storage.opening import open_log_store
from rundlet_server.storage.settings import StoreSettings

TAIL_KEYS: Final = 5_000
"""Written last, so that no index file holds the end of the log yet."""
_NEW_KEYS: Final = 1 << 40
_WITHOUT_CHECKPOINTS: Final = StoreSettings(sync="never", maintain_inline=False)


def grow(folder: Path, count: int) -> dict[str, float]:
    """Fill a new store."""
    began_s = time.perf_counter()
    engine = OURS.open(folder, "never")
    tail = min(TAIL_KEYS, count // 2)
    engine.put_all(rows(count - tail))
    engine.put_all((key_of(number), value_of(number)) for number in range(count - tail, count))
    return {"s": time.perf_counter() - began_s}


def reopen(folder: Path, count: int) -> dict[str, float]:
    """Open a store, get its first key, then write; time only the first two."""
    _load_modules()
    began_s = time.perf_counter()
    engine = OURS.open(folder, "never")
    opened_s = time.perf_counter()
    value = engine.get(key_of(0))
    ended_s = time.perf_counter()
    assert value == value_of(0)
    first = _NEW_KEYS + time.time_ns()
    engine.put_all((key_of(number), value_of(number)) for number in range(first, first + count))
    return {
        "ms to first get": (ended_s - began_s) * 1_000,
        "ms to open": (opened_s - began_s) * 1_000,
    }


def append(folder: Path, count: int) -> dict[str, float]:
    """Fill a new store without checkpoints."""
    began_s = time.perf_counter()
    store = open_log_store(folder, _WITHOUT_CHECKPOINTS)
    for key, value in rows(count):
        store.commit(Txn([Put(key, value)]))
    return {"s": time.perf_counter() - began_s}


def replay(folder: Path, count: int) -> dict[str, float]:
    """Open a store whose ``count`` records no index file holds, and get its last key."""
    _load_modules()
    began_s = time.perf_counter()
    store = open_log_store(folder, _WITHOUT_CHECKPOINTS)
    entry = store.get(key_of(count - 1))
    took_s = time.perf_counter() - began_s
    assert entry is not None
    assert entry.value == value_of(count - 1)
    assert store.gauges()["unindexed_records"].value == count
    return {"µs/record": took_s / count * 1e6, "ms": took_s * 1_000}


def _load_modules() -> None:
    """Load the modules that a store needs, outside the measured time."""
    with tempfile.TemporaryDirectory() as scratch:
        OURS.open(Path(scratch), "never").close()


_JOBS: Final = {"grow": grow, "reopen": reopen, "append": append, "replay": replay}


def main() -> None:
    """Do the job that the command line names."""
    job, folder, count = sys.argv[1:]
    figures = _JOBS[job](Path(folder), int(count))
    print(json.dumps(figures), flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
