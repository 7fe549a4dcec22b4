"""Test how long the log keeps outcomes, and what checks and copies make of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from rundlet_server.storage.care import repair, verify
from rundlet_server.storage.interface import Delete, Put, Txn
from rundlet_server.storage.log.format.record import OUTCOME_KEY
from rundlet_server.storage.log.index.columns import is_outcome
from rundlet_server.storage.log.store import LogStore
from rundlet_server.storage.opening import open_log_store
from rundlet_server.storage.outcomes.idempotency import KEY_SIZE, Idempotency
from rundlet_server.storage.settings import StoreSettings
from tests.support.disks.unsynced_files import UnsyncedFiles
from tests.support.models.model import Clock

KEEP_S = 100


def settings(clock: Clock) -> StoreSettings:
    return StoreSettings(
        keep_versions=1,
        keep_for_s=0,
        segment_records_max=10,
        maintain_inline=False,
        files=UnsyncedFiles(),
        clock=clock,
    )


@pytest.fixture
def store(tmp_path: Path, clock: Clock) -> Iterator[LogStore]:
    with closing(open_log_store(tmp_path / "data", settings(clock))) as opened:
        yield opened


def once(number: int) -> Txn:
    return Txn(
        [Put("k", b"%d" % number)],
        idempotency=Idempotency(number.to_bytes(KEY_SIZE), b"", KEEP_S),
    )


def outcomes_in_indexes(store: LogStore) -> int:
    store.maintainer.merge_all()
    indexes = store._follower.refresh().indexes
    return sum(int(is_outcome(index.columns()).sum()) for index in indexes)


def is_remembered(store: LogStore, number: int) -> bool:
    return store.commit(Txn([], idempotency=once(number).idempotency)).is_replay


def test_compaction_keeps_an_outcome_without_its_write(store: LogStore, tmp_path: Path):
    for number in range(1, 31):
        store.commit(once(number))
    store.commit(Txn([Delete("k")]))
    store.maintainer.compact(thorough=True)
    store.maintainer.compact(thorough=True)

    assert outcomes_in_indexes(store) == 30
    assert all(is_remembered(store, number) for number in range(1, 31))
    assert store.stats().key_count == 0
    assert verify(tmp_path / "data").problems == []


def test_compaction_drops_what_is_forgotten(store: LogStore, clock: Clock, tmp_path: Path):
    for number in range(1, 31):
        store.commit(once(number))
        clock.advance(1)
    clock.advance(KEEP_S - 15)
    remembered = [number for number in range(1, 31) if is_remembered(store, number)]
    size = store._follower.refresh().manifest.sealed_bytes
    store.maintainer.compact(thorough=True)

    assert 10 < len(remembered) < 20
    assert outcomes_in_indexes(store) == len(remembered)
    assert [n for n in range(1, 31) if is_remembered(store, n)] == remembered
    clock.advance(KEEP_S)
    store.maintainer.compact(thorough=True)
    assert outcomes_in_indexes(store) == 0
    assert store._follower.refresh().manifest.sealed_bytes < size / 4
    assert verify(tmp_path / "data").problems == []


def test_a_merge_of_index_files_drops_what_is_forgotten(store: LogStore, clock: Clock):
    for number in range(1, 31):
        store.commit(once(number))
    clock.advance(KEEP_S + 1)
    store.maintainer.checkpoint()

    assert outcomes_in_indexes(store) == 0
    assert not is_remembered(store, 1)


def test_an_older_outcome_of_a_key_does_not_come_back(store: LogStore, clock: Clock):
    """Its record may stay in the log when the newer one is dropped without a tombstone."""
    store.commit(once(1))
    for number in range(2, 40):
        store.commit(once(number))
    clock.advance(KEEP_S + 1)
    store.commit(once(1))
    clock.advance(KEEP_S + 1)
    store.maintainer.compact(thorough=False)

    assert not is_remembered(store, 1)


def test_a_repair_keeps_outcomes(tmp_path: Path, clock: Clock):
    folder = tmp_path / "data"
    with closing(open_log_store(folder, settings(clock))) as store:
        for number in range(1, 31):
            store.commit(once(number))
        store.maintainer.checkpoint()
    (folder / "MANIFEST").unlink()

    report = repair(folder, settings(clock))

    assert report.lost_versions == []
    assert verify(folder).problems == []
    with closing(open_log_store(folder, settings(clock))) as store:
        assert all(is_remembered(store, number) for number in range(1, 31))


def test_a_damaged_outcome_does_not_pass_for_a_delete(tmp_path: Path, clock: Clock):
    folder = tmp_path / "data"
    with closing(open_log_store(folder, settings(clock))) as store:
        for number in range(1, 31):
            store.commit(once(number))
        store.maintainer.checkpoint()
    segment = min(folder.glob("*.log"))
    data = bytearray(segment.read_bytes())
    place = data.index(OUTCOME_KEY + (2).to_bytes(KEY_SIZE))
    data[place + KEY_SIZE + 2] ^= 1
    segment.write_bytes(data)

    report = repair(folder, settings(clock))

    assert report.losses
    assert (report.deletes_kept, report.came_back) == (0, [])
    assert verify(folder).problems == []
    with closing(open_log_store(folder, settings(clock))) as store:
        assert is_remembered(store, 30)
        assert not is_remembered(store, 2)
