"""Many threads and processes on one store."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from rundlet_server.storage.errors import OpenedBeforeFork
from rundlet_server.storage.interface import Add, Put
from tests.support import PATIENCE_S
from tests.support.backends import do, put, value
from tests.support.processes.forks import ForkedChild


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
