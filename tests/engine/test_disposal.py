"""Test that a process frees unused memory in small pieces, and no memory still in use."""

from __future__ import annotations

import threading
import time
from contextlib import closing

from rundlet_server.storage.interface import Put, Txn
from rundlet_server.storage.log.read.disposal import DICTS_MAX, Disposal
from rundlet_server.storage.log.read.entry_cache import EntryCache
from rundlet_server.storage.log.store import LogStore
from rundlet_server.storage.opening import open_log_store
from rundlet_server.storage.settings import StoreSettings
from tests.engine.test_cache import entry_of
from tests.support import PATIENCE_S
from tests.support.processes.servers import wait_for


class Owner:
    """Something that can be let go of."""


def rows_of(count: int) -> dict[bytes, object]:
    return {b"%d" % number: object() for number in range(count)}


def test_rows_are_kept_while_their_owner_is_there():
    disposal, owner, rows = Disposal(), Owner(), rows_of(10)
    disposal.add_after(owner, rows)

    assert not disposal.run(threading.Event(), 0.01)
    assert len(rows) == 10
    del owner
    assert not disposal.run(threading.Event(), 0.01)
    assert rows == {}


def test_rows_are_emptied_with_pauses_in_between():
    disposal, rows = Disposal(), rows_of(100_000)
    disposal.add(rows)

    disposal.run(threading.Event(), 0.05)  # fifty pauses at the most

    assert 94_000 < len(rows) < 100_000


def test_waiting_ends_with_the_event():
    disposal, rows, event = Disposal(), rows_of(1_000), threading.Event()
    disposal.add(rows)
    event.set()

    assert disposal.run(event, 60)
    assert disposal.run(event, 60)
    assert rows


def test_it_waits_for_as_long_as_it_was_told():
    began_s = time.monotonic()

    assert not Disposal().run(threading.Event(), 0.05)
    assert time.monotonic() - began_s >= 0.05


def test_what_a_cache_holds_is_freed_after_it():
    disposal = Disposal()
    cache = EntryCache(10_000_000, disposal)
    for number in range(5_000):
        cache.put(b"%d" % number, entry_of(f"{number}", bytes(1_000)))
    del cache

    assert sum(map(len, disposal._waiting)) == 5_000


def test_dicts_that_come_faster_than_they_are_emptied_do_not_pile_up():
    disposal = Disposal()
    for _ in range(100):
        disposal.add(rows_of(1_000))

    assert len(disposal._waiting) == DICTS_MAX
    assert sum(map(len, disposal._waiting)) == DICTS_MAX * 1_000


def test_threads_that_hand_over_and_one_that_empties_do_not_disturb_each_other():
    disposal, is_done = Disposal(), threading.Event()
    alive = [0]

    class Counted:
        """An object that is counted while it lives."""

        def __init__(self) -> None:
            with lock:
                alive[0] += 1

        def __del__(self) -> None:
            with lock:
                alive[0] -= 1

    def hand_over() -> None:
        for _ in range(50):
            disposal.add({b"%d" % number: Counted() for number in range(200)})

    lock = threading.RLock()
    threads = [threading.Thread(target=hand_over) for _ in range(4)]
    emptying = threading.Thread(target=disposal.run, args=(is_done, PATIENCE_S))
    for thread in (*threads, emptying):
        thread.start()
    for thread in threads:
        thread.join()

    assert len(disposal._waiting) <= DICTS_MAX
    wait_for(lambda: alive[0] == 0)
    is_done.set()
    emptying.join()


def test_delta_and_cache_are_freed_once_a_segment_has_its_index_file(tmp_path):
    settings = StoreSettings(segment_records_max=100, keep_for_s=0, keep_versions=1)
    with closing(open_log_store(tmp_path, settings)) as store:
        assert isinstance(store, LogStore)
        store.commit(Txn([Put(f"{number}", b"") for number in range(100)]))
        rows = store._follower.view.active.rows
        assert len(rows) == 100
        store.commit(Txn([Put("100", b"")]))
        store.compact()
        wait_for(lambda: not rows)
        assert len(store.scan().keys) == 101
