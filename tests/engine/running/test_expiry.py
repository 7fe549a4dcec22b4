"""Test what keys that expire cost, and that what has expired is counted exactly."""

from __future__ import annotations

import dataclasses
import itertools
import random
import time
from collections.abc import Callable
from contextlib import ExitStack, closing

import numpy as np
import numpy.typing as npt
import pytest

from rundlet_server.storage.interface import Delete, Op, Put, Touch, Txn
from rundlet_server.storage.log.index.expiry import ExpiryOrder
from rundlet_server.storage.log.read import expired
from rundlet_server.storage.log.read.expired import due
from rundlet_server.storage.log.store import LogStore
from rundlet_server.storage.opening import open_log_store
from rundlet_server.storage.settings import StoreSettings
from tests.support.disks.unsynced_files import UnsyncedFiles
from tests.support.without_collector import without_collector

GROWTH = 32
"""How many times more keys there are in the larger store of a comparison."""
KEYS = [f"key{number}" for number in range(40)]


def filled(folder, clock, count: int) -> LogStore:
    """Return a read-only store of keys that all expire, none of them yet, in one index file."""
    settings = StoreSettings(files=UnsyncedFiles(), clock=clock, sync="never")
    with closing(open_log_store(folder, settings)) as store:
        for start in range(0, count, 1_000):
            numbers = range(start, min(start + 1_000, count))
            store.commit(Txn([Put(f"k{n:09}", b"value", ttl_s=1_000) for n in numbers]))
        store.maintainer.compact(thorough=True)
    opened = open_log_store(
        folder, dataclasses.replace(settings, is_read_only=True, cache_bytes_max=0)
    )
    opened.stats()
    return opened


def cpu_s(action: Callable[[], object]) -> float:
    """Return the least CPU time of some runs: what other processes do hardly counts."""
    runs = []
    for _ in range(7):
        started_s = time.thread_time()
        action()
        runs.append(time.thread_time() - started_s)
    return min(runs)


def read_some(store: LogStore, count: int) -> Callable[[], None]:
    keys = [f"k{n:09}" for n in range(0, count, max(1, count // 200))]

    def read() -> None:
        for key in keys:
            store.get(key)

    return read


def test_reading_a_key_that_expires_costs_the_same_among_many(tmp_path, clock):
    costs = []
    for count in (2_000, 2_000 * GROWTH):
        with closing(filled(tmp_path / str(count), clock, count)) as store:
            costs.append(cpu_s(read_some(store, count)))

    assert costs[1] < costs[0] * 3


def test_statistics_look_at_an_expired_key_once(tmp_path, clock):
    with closing(filled(tmp_path, clock, 20_000)) as store:
        clock.advance(2_000)
        started_s = time.thread_time()
        assert store.stats().key_count == 0
        first_s = time.thread_time() - started_s

        assert cpu_s(store.stats) < first_s / 20


def test_statistics_look_at_many_expired_keys_at_once(tmp_path, clock):
    # A collection of what other tests have left takes longer than the first look.
    with closing(filled(tmp_path, clock, 50_000)) as store, without_collector():
        clock.advance(2_000)
        started_s = time.thread_time()
        assert store.stats().key_count == 0
        first_s = time.thread_time() - started_s

        started_s = time.thread_time()
        view = store._follower.current()
        assert sum(1 for _ in due(view, view.head, 0, clock())) == 50_000
        assert first_s < (time.thread_time() - started_s) / 4


@pytest.mark.parametrize("seed", range(6))
def test_many_expired_keys_are_counted_exactly(tmp_path, clock, monkeypatch, seed):
    """In index files of all ages; some keys are written again, some deleted, some do not expire."""
    monkeypatch.setattr(expired, "_FEW", 3)
    chance = random.Random(seed)
    keys = [f"key{number}" for number in range(400)]
    settings = StoreSettings(files=UnsyncedFiles(), clock=clock, segment_records_max=60)
    with closing(open_log_store(tmp_path, settings)) as store:
        for step in range(12):
            some = keys if step == 0 else chance.sample(keys, 8)
            store.commit(Txn([drawn(chance, key) for key in some]))
            clock.advance(chance.choice([0, 0, 0.5]))
            if chance.random() < 0.7:
                store.maintainer.checkpoint()
            if chance.random() < 0.1:
                store.maintainer.expire()
        clock.advance(chance.choice([0.5, 1, 4, 100]))
        with closing(open_log_store(tmp_path, settings)) as late:
            for asked in (late, store):
                entries = [entry for entry in asked.get_many(keys).entries if entry]
                assert asked.stats().key_count == len(entries), seed
                assert asked.stats().value_bytes == sum(len(e.value) for e in entries), seed


@pytest.mark.parametrize("seed", range(4))
def test_expiries_in_a_span_are_all_of_them_and_no_other(seed):
    """Among more than are kept in the order of time, with many at one time."""
    chance = np.random.default_rng(seed)
    times_us = chance.choice(np.array([3, 500, 20_000], np.uint64)) * chance.integers(
        1, 100, 20_000, np.uint64
    )
    rows = chance.permutation(np.arange(20_000, dtype=np.uint32))
    distinct_us = [0, *np.unique(times_us).tolist()]
    spans = list(itertools.pairwise(distinct_us))  # one of them ends where the known ones end
    for _ in range(200):
        after_us = chance.choice(distinct_us) - chance.integers(2)
        spans.append((after_us, after_us + chance.choice([0, 1, 9_000, distinct_us[-1]])))
    order = ExpiryOrder()
    for after_us, through_us in spans:
        found = order.rows_between(max(0, after_us), through_us, lambda: (rows, times_us))

        expected = rows[(times_us > max(0, after_us)) & (times_us <= max(0, through_us))]
        assert sorted(found) == sorted(expected.tolist()), (seed, after_us, through_us)


def test_next_expiries_are_found_without_reading_all_times_again():
    times_us = np.arange(1, 50_001, dtype=np.uint64)
    rows = np.arange(50_000, dtype=np.uint32)
    reads = []

    def columns() -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.uint64]]:
        reads.append(1)
        return rows, times_us

    order = ExpiryOrder()
    for last_us in (20_000, *range(20_100, 24_000, 100)):  # many at first, and then a few
        found = order.rows_between(last_us - 100, last_us, columns)
        assert sorted(found) == list(range(last_us - 100, last_us))

    assert len(reads) == 1
    order.rows_between(0, 20_000, columns)
    order.rows_between(20_000, 20_100, columns)
    assert len(reads) == 2


@pytest.mark.parametrize("seed", range(12))
def test_statistics_are_those_of_the_keys_that_can_be_read(tmp_path, clock, seed):
    """One process writes and maintains; others ask now and then, one of them from the start."""
    chance = random.Random(seed)
    settings = StoreSettings(
        files=UnsyncedFiles(),
        clock=clock,
        segment_records_max=chance.choice([8, 50, 1_000]),
        keep_for_s=chance.choice([0, 60]),
        keep_versions=chance.choice([1, 3]),
    )
    with ExitStack() as stack:
        writer = stack.enter_context(closing(open_log_store(tmp_path, settings)))
        reader = stack.enter_context(closing(open_log_store(tmp_path, settings)))
        for step in range(300):
            act(chance, writer, clock)
            if chance.random() < 0.3:
                assert_exact(reader, (seed, step))
                assert_exact(writer, (seed, step))
        with closing(open_log_store(tmp_path, settings)) as late:
            assert_exact(late, (seed, "late"))


def act(chance: random.Random, store: LogStore, clock) -> None:
    match chance.choices(range(6), [12, 8, 1, 1, 1, 1])[0]:
        case 0:
            keys = chance.sample(KEYS, chance.randint(1, 6))
            store.commit(Txn([drawn(chance, key) for key in keys]))
        case 1:
            clock.advance(chance.choice([0.001, 0.5, 1, 3, 30]))
        case 2:
            store.maintainer.expire()
        case 3:
            store.maintainer.checkpoint()
        case 4:
            store.maintainer.merge_all()
        case 5:
            store.maintainer.compact(thorough=chance.random() < 0.5)


def drawn(chance: random.Random, key: str) -> Op:
    if chance.random() < 0.2:
        return Delete(key)
    ttl_s = chance.choice([None, 0.001, 0.5, 1, 4, 100])
    return Put(key, b"v" * chance.randint(0, 9), ttl_s=ttl_s)


def assert_exact(store: LogStore, place: object) -> None:
    entries = [entry for entry in store.get_many(KEYS).entries if entry]
    stats = store.stats()
    assert stats.key_count == len(entries), place
    assert stats.value_bytes == sum(len(entry.value) for entry in entries), place


def test_commits_with_an_earlier_time_are_counted_exactly(tmp_path, clock):
    """A commit takes its time when it begins; statistics may look at a later one before it ends."""
    settings = StoreSettings(files=UnsyncedFiles(), clock=clock)
    with closing(open_log_store(tmp_path, settings)) as store:
        store.commit(Txn([Put("a", b"1", ttl_s=1), Put("b", b"2", ttl_s=1)]))
        group = store._writer
        with group.exclusive() as view:
            batch = group.begin(view)
            batch.add(Txn([Put("a", b"3"), Touch("b")]))
            clock.advance(5)
            assert store.stats().key_count == 0
            group.write(view, batch.frames)

        assert_exact_count(store, 2)


def assert_exact_count(store: LogStore, count: int) -> None:
    assert store.stats().key_count == count
    assert store.count(prefix="", start="a") == count
