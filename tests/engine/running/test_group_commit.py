"""Test that transactions which share a write do not share a failure."""

from __future__ import annotations

import errno
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing

import pytest

from rundlet_server.storage.bounds import KEY_BYTES_LIMIT, VALUE_BYTES_LIMIT
from rundlet_server.storage.errors import Conflict, InvalidKey, StoreError, Unavailable
from rundlet_server.storage.interface import Add, Condition, Delete, Limits, Put, Txn
from rundlet_server.storage.log.format.names import segment_name
from rundlet_server.storage.log.store import LogStore
from rundlet_server.storage.opening import open_log_store
from rundlet_server.storage.outcomes.results import Commit
from rundlet_server.storage.settings import StoreSettings
from tests.support import PATIENCE_S
from tests.support.backends import value
from tests.support.disks.faulty_files import Call, FaultyFiles
from tests.support.disks.unsynced_files import UnsyncedFiles


def commit_together(store: LogStore, txns: Sequence[Txn]) -> list[Future[Commit]]:
    """Commit transactions as one group: all are queued, in this order, before one is decided."""
    queue = store._group_commit
    with ThreadPoolExecutor(len(txns)) as threads, store._writer.exclusive():
        futures = []
        for count, txn in enumerate(txns):  # the first one leads and waits for the lock
            futures.append(threads.submit(store.commit, txn))
            until_s = time.monotonic() + PATIENCE_S
            while not queue._has_leader or len(queue._queue) < count:
                assert time.monotonic() < until_s
                time.sleep(0.001)
    return futures


class BadSector:
    """Makes reads of one segment fail, once it is armed."""

    is_armed = False

    def __call__(self, _: int, call: Call) -> OSError | None:
        is_bad = self.is_armed and call == Call("pread", segment_name(1))
        return OSError(errno.EIO, "Input/output error", call.file) if is_bad else None


@pytest.fixture
def sector() -> BadSector:
    return BadSector()


@pytest.fixture
def store(tmp_path, sector: BadSector) -> Iterator[LogStore]:
    """A store with a counter in a segment that cannot be read any more once ``sector`` is armed."""
    files = FaultyFiles(sector)
    with closing(open_log_store(tmp_path, StoreSettings(files=files))) as opened:
        opened.commit(Txn([Put("bad", b"1")]))
        opened._writer.seal()
        yield opened


def test_a_value_that_cannot_be_read_fails_its_own_transaction_only(store, sector):
    sector.is_armed = True

    futures = commit_together(
        store,
        [
            Txn([Put("first", b"1")]),
            Txn([Put("half", b"1"), Add("bad")]),
            Txn([Put("after", b"1")], [Condition("first", exists=True)]),
            Txn([Put("half", b"2")], [Condition("half", exists=True)]),
            Txn([Delete("first")]),
        ],
    )

    with pytest.raises(Unavailable, match="Input/output error"):
        futures[1].result()
    with pytest.raises(Conflict):
        futures[3].result()
    assert [futures[number].result().revision for number in (0, 2, 4)] == [2, 3, 4]
    assert [value(store, key) for key in ("first", "half", "after")] == [None, None, b"1"]
    assert store.health().reasons == []


@pytest.mark.parametrize("place", range(3))
def test_a_transaction_that_fails_half_way_leaves_nothing_behind(tmp_path, place):
    """An unforeseen error, made by a key that is longer than a record can say."""
    settings = StoreSettings(files=UnsyncedFiles())
    with closing(open_log_store(tmp_path, settings)) as store:
        object.__setattr__(store._limits, "key_bytes_max", 1 << 20)
        txns = [Txn([Put("counter", b"0")]), Txn([Add("counter")])]
        txns.insert(place, Txn([Put("half", b"1"), Add("counter", 5), Put("k" * 70_000, b"")]))

        futures = commit_together(store, txns)

        assert [future.exception() is None for future in futures].count(False) == 1
        assert futures[place].exception() is not None
        assert value(store, "counter") == b"1"
        assert value(store, "half") is None
        assert store.stats().key_count == 1
    with closing(open_log_store(tmp_path, settings)) as store:
        assert (value(store, "counter"), store.stats().revision) == (b"1", 2)


def test_all_of_a_group_may_fail(store, sector):
    sector.is_armed = True
    threads = threading.active_count()

    futures = commit_together(store, [Txn([Add("bad")])] * 4)

    assert all(isinstance(future.exception(), Unavailable) for future in futures)
    assert store.commit(Txn([Put("next", b"1")])).revision == 2
    assert threading.active_count() <= threads


@pytest.mark.parametrize(
    "limits",
    [
        Limits(key_bytes_max=KEY_BYTES_LIMIT + 1),
        Limits(value_bytes_max=VALUE_BYTES_LIMIT + 1),
        Limits(txn_bytes_max=VALUE_BYTES_LIMIT + 1),
    ],
)
def test_limits_are_bounded_by_what_the_files_can_say(limits):
    with pytest.raises(ValueError, match="at most"):
        StoreSettings(limits=limits)


def test_the_longest_key_that_can_be_allowed_is_stored(tmp_path):
    settings = StoreSettings(files=UnsyncedFiles(), limits=Limits(key_bytes_max=KEY_BYTES_LIMIT))
    key = "k" * KEY_BYTES_LIMIT
    with closing(open_log_store(tmp_path, settings)) as store:
        store.commit(Txn([Put(key, b"value", "x/y", ttl_s=100)]))
    with closing(open_log_store(tmp_path, settings)) as store:
        assert value(store, key) == b"value"
        store.compact(wait=True)
        assert value(store, key) == b"value"


def test_a_group_of_many_callers_has_an_outcome_for_each(store):
    outcomes = store.commit_group(
        [
            Txn([Put("first", b"1")]),
            Txn([Put("", b"an empty key")]),
            Txn([Put("first", b"2")], [Condition("first", exists=False)]),
            Txn([Delete("first")]),
        ]
    )

    kinds = [type(outcome) for outcome in outcomes]
    assert kinds == [Commit, InvalidKey, Conflict, Commit]
    assert outcomes[3].revision == outcomes[0].revision + 1
    assert store.get("first") is None
    assert store.commit_group([]) == []


def test_groups_and_single_commits_of_many_threads_are_each_done_once(store):
    rounds = 30

    def commit_groups(name: str) -> None:
        for _ in range(rounds):
            outcomes = store.commit_group([Txn([Add(name)]) for _ in range(3)])
            assert all(isinstance(outcome, Commit) for outcome in outcomes)

    def commit_singly(name: str) -> None:
        for _ in range(rounds):
            store.commit(Txn([Add(name)]))

    with ThreadPoolExecutor(6) as threads:
        tasks = [threads.submit(commit_groups, f"group {number}") for number in range(3)]
        tasks += [threads.submit(commit_singly, f"single {number}") for number in range(3)]
        for task in tasks:
            task.result(PATIENCE_S)

    assert [store.get(f"group {number}").value for number in range(3)] == [b"90"] * 3
    assert [store.get(f"single {number}").value for number in range(3)] == [b"30"] * 3


def test_a_disk_that_fails_fails_all_of_a_group(tmp_path):
    is_broken = False

    def fail(_: int, call: Call) -> OSError | None:
        is_write = is_broken and call.name in ("pwrite", "pwritev", "sync", "write")
        return OSError(errno.EIO, "Input/output error", call.file) if is_write else None

    with closing(open_log_store(tmp_path, StoreSettings(files=FaultyFiles(fail)))) as opened:
        opened.commit(Txn([Put("a", b"1")]))
        is_broken = True
        outcomes = opened.commit_group([Txn([Put(name, b"2")]) for name in "abc"])
        is_broken = False

    assert all(isinstance(outcome, StoreError) for outcome in outcomes)
    assert len(outcomes) == 3


def test_a_failed_write_does_not_refuse_what_was_queued_during_it(tmp_path):
    is_armed, is_writing, is_queued = (threading.Event() for _ in range(3))

    def fail_once(_: int, call: Call) -> OSError | None:
        if call.name != "pwrite" or not is_armed.is_set() or is_writing.is_set():
            return None
        is_writing.set()
        assert is_queued.wait(PATIENCE_S)
        return OSError(errno.EIO, "Input/output error", call.file)

    with (
        closing(open_log_store(tmp_path, StoreSettings(files=FaultyFiles(fail_once)))) as store,
        ThreadPoolExecutor(2) as threads,
    ):
        is_armed.set()
        first = threads.submit(store.commit, Txn([Put("first", b"1")]))
        assert is_writing.wait(PATIENCE_S)
        second = threads.submit(store.commit, Txn([Put("second", b"1")]))
        until_s = time.monotonic() + PATIENCE_S
        while not store._group_commit._queue:
            assert time.monotonic() < until_s
            time.sleep(0.001)
        is_queued.set()

        with pytest.raises(Unavailable):
            first.result(PATIENCE_S)
        assert second.result(PATIENCE_S).revision == 1
        assert (value(store, "first"), value(store, "second")) == (None, b"1")
