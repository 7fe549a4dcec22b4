"""Many threads and processes on one store."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from rundlet_server.storage.counting.counters import SUM_WORD
from rundlet_server.storage.counting.measures import GROUP_COMMITS, Measures
from rundlet_server.storage.errors import Conflict, OpenedBeforeFork, OutcomeUnknown
from rundlet_server.storage.interface import Add, Condition, Delete, Op, Put, Txn
from rundlet_server.storage.postgres.store import PostgresStore
from tests.support import PATIENCE_S
from tests.support.backends import do, put, value
from tests.support.processes.forks import ForkedChild
from tests.support.processes.servers import wait_for


def test_stores_that_are_opened_at_once_are_one_store(open_store):
    with ThreadPoolExecutor(8) as pool:
        stores = [each.result() for each in [pool.submit(open_store) for _ in range(8)]]

    assert len({store.info.store_id for store in stores}) == 1
    assert put(stores[0], "a", b"1").revision == 1
    assert {value(store, "a") for store in stores} == {b"1"}


def test_feed_misses_no_commit_of_many_writers(open_store):
    stores = [open_store() for _ in range(4)]
    reader = open_store()
    is_done = threading.Event()
    seen = []

    def follow() -> None:
        since = 0
        while True:
            is_last = is_done.is_set()
            page = reader.changes(since, limit=7)
            seen.extend((event.revision, event.key) for event in page.events)
            if is_last and since == page.next_since:
                return
            since = page.next_since

    follower = threading.Thread(target=follow)
    follower.start()
    with ThreadPoolExecutor(8) as pool:
        written = [
            pool.submit(do, stores[number % 4], Put(f"a{number}", b""), Add("n", 1))
            for number in range(200)
        ]
        revisions = sorted(each.result().revision for each in written)
    is_done.set()
    follower.join()

    assert revisions == list(range(1, 201))
    assert [revision for revision, _ in seen] == sorted([*revisions, *revisions])
    assert {key for _, key in seen} == {"n", *(f"a{number}" for number in range(200))}
    assert value(reader, "n") == b"200"


def test_commit_of_another_process_ends_a_wait(open_store):
    waiting, writing = open_store(), open_store()
    put(writing, "a")
    timer = threading.Timer(0.05, put, (writing, "a"))
    timer.start()

    assert waiting.wait(1, PATIENCE_S) == 2
    timer.join()  # its commit may be seen before it is acknowledged


def test_request_of_an_interrupted_leader_has_an_unknown_outcome(open_store, clock):
    interrupts = [KeyboardInterrupt()]

    def interrupted_clock() -> int:
        if interrupts and threading.current_thread().name.startswith("writer"):
            raise interrupts.pop()
        return clock()

    store = open_store(clock=interrupted_clock)
    with ThreadPoolExecutor(2, thread_name_prefix="writer") as pool:
        with gathering(store, 2):
            writes = [pool.submit(put, store, key, b"1") for key in ("a", "b")]
        failures = [each.exception(PATIENCE_S) for each in writes]

    assert {type(each) for each in failures} == {KeyboardInterrupt, OutcomeUnknown}
    assert put(store, "c").revision == 1


def test_measured_group_has_the_transactions_that_wrote(open_store):
    measures = Measures()
    store = open_store(measures=measures)
    writes: list[Op] = [Put("a", b"1"), Put("b", b"1"), Delete("none")]
    with ThreadPoolExecutor(4) as pool:
        with gathering(store, 4):
            done = [pool.submit(do, store, op) for op in writes]
            refused = pool.submit(store.commit, Txn([Put("c", b"")], [Condition("c", version=9)]))
        assert isinstance(refused.exception(PATIENCE_S), Conflict)
    do(store, Delete("none"))

    assert [each.result().results[0].found for each in done] == [False, False, False]
    row = measures.shared.own.rows[GROUP_COMMITS]
    assert (sum(row[:SUM_WORD]), row[SUM_WORD]) == (1, 2)


@contextmanager
def gathering(store: PostgresStore, count: int) -> Iterator[None]:
    """Let so many transactions, begun in the block, queue up before the first is committed."""
    with store._writer._lock:
        yield
        wait_for(lambda: len(store._writer._queue) == count)


def test_forked_child_is_refused_and_leaves_the_store_to_its_parent(store):
    put(store, "a", b"1")

    def use_and_close() -> None:
        for use in (lambda: store.get("a"), lambda: put(store, "a"), store.stats):
            with pytest.raises(OpenedBeforeFork):
                use()
        store.close()

    ForkedChild(use_and_close).finish()

    assert value(store, "a") == b"1"
    assert put(store, "a", b"2").revision == 2
