"""How long does the history of a key with many versions take, and a read at an old revision?

Other keys are written between the versions, so that they lie all over the log.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bench.recorder import Recorder
from bench.scale import Scale
from bench.workload import key_of, value_of
from rundlet_server.storage.interface import Put, Txn
from rundlet_server.storage.log.store import LogStore
from rundlet_server.storage.opening import open_log_store
from rundlet_server.storage.settings import StoreSettings

_VERSIONS = 1_000
_KEY = "written again and again"
_ROUNDS = 5


@pytest.fixture(scope="module")
def store(work_folder: Path, scale: Scale) -> Iterator[LogStore]:
    settings = StoreSettings(sync="never", maintain_inline=False)
    with contextlib.closing(open_log_store(work_folder / "data", settings)) as store:
        each = max(1, scale.engine_keys // _VERSIONS)
        for number in range(_VERSIONS):
            store.commit(Txn([Put(_KEY, value_of(number))]))
            others = range(number * each, (number + 1) * each)
            store.commit(Txn([Put(key_of(other), value_of(other)) for other in others]))
        yield store


def test_history(record: Recorder, store: LogStore) -> None:
    def ask() -> None:
        history = store.history(_KEY, limit=_VERSIONS)
        assert len(history.versions) == _VERSIONS
        versions = [version.version for version in history.versions]
        assert versions == list(range(_VERSIONS, 0, -1))

    _record_ms(record, ask, case=f"history of {_VERSIONS:,} versions")


def test_old_revision(record: Recorder, store: LogStore) -> None:
    revision = store.history(_KEY, limit=_VERSIONS).versions[_VERSIONS // 2].revision

    def ask() -> None:
        entry = store.get(_KEY, at=revision)
        assert entry is not None
        assert entry.revision == revision

    _record_ms(record, ask, case=f"get at a revision, {_VERSIONS // 2:,} versions ago")


def _record_ms(record: Recorder, ask: Callable[[], None], *, case: str) -> None:
    """Record the time of the first call, and the median of some."""

    def figures() -> dict[str, float]:
        took_ms = []
        for _ in range(_ROUNDS):
            began_s = time.perf_counter()
            ask()
            took_ms.append((time.perf_counter() - began_s) * 1_000)
        return {"ms": sorted(took_ms)[_ROUNDS // 2], "first ms": took_ms[0]}

    record.figures(figures, system="rundlet", case=case)
