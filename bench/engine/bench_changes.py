"""How many events a second does a reader of the whole feed get, 1,000 a page?

Seconds are those of the processor: one thread does all the work, and the files are in memory.
"""

from __future__ import annotations

import contextlib
import time
from pathlib import Path

import pytest

from bench.recorder import Recorder
from bench.scale import Scale
from bench.workload import key_of, value_of
from rundlet_server.storage.interface import Put, Txn
from rundlet_server.storage.log.store import LogStore
from rundlet_server.storage.opening import open_log_store
from rundlet_server.storage.settings import StoreSettings

_PUTS_IN_A_COMMIT = {"a put each": 1, "1,000 puts each": 1_000}


@pytest.mark.parametrize("case", _PUTS_IN_A_COMMIT)
@pytest.mark.parametrize("include_values", [False, True], ids=["no values", "values"])
def test_changes(
    record: Recorder, folder: Path, scale: Scale, case: str, include_values: bool
) -> None:
    count = scale.engine_keys
    settings = StoreSettings(sync="never", maintain_inline=False)
    with contextlib.closing(open_log_store(folder / "data", settings)) as store:
        _fill(store, count, _PUTS_IN_A_COMMIT[case])

        def follow() -> dict[str, float]:
            began_s = time.process_time()
            found = _follow(store, include_values)
            took_s = time.process_time() - began_s
            assert found == count
            return {"events/s": count / took_s}

        system = "rundlet, with values" if include_values else "rundlet"
        record.figures(follow, system=system, case=case)


def _fill(store: LogStore, count: int, in_a_commit: int) -> None:
    for start in range(0, count, in_a_commit):
        numbers = range(start, min(start + in_a_commit, count))
        store.commit(Txn([Put(key_of(number), value_of(number)) for number in numbers]))


def _follow(store: LogStore, include_values: bool) -> int:
    since, found, head = 0, 0, store.stats().revision
    while since < head:
        page = store.changes(since, include_values=include_values)
        found += len(page.events)
        since = page.next_since
    return found
