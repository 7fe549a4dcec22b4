"""What a forked child may do with a store in etcd: nothing, and both processes go on."""

from __future__ import annotations

import gc
import multiprocessing
import pickle
import threading
from collections.abc import Callable
from contextlib import closing

import pytest

from rundlet_server.storage.errors import OpenedBeforeFork
from rundlet_server.storage.etcd.cluster.place import EtcdPlace
from rundlet_server.storage.etcd.store import EtcdStore
from rundlet_server.storage.interface import Put
from rundlet_server.storage.settings import StoreSettings
from rundlet_server.storage.timeline import Moment
from tests.support import PATIENCE_S
from tests.support.backends import do, put, value
from tests.support.processes.forks import ForkedChild, in_child

# From Python 3.12 on; it is what these tests are about.
pytestmark = pytest.mark.filterwarnings(
    "ignore:This process .* is multi-threaded:DeprecationWarning"
)

FORKS = 10
THREADS = 4

USES: dict[str, Callable[[EtcdStore], object]] = {
    "get": lambda store: store.get("a"),
    "get at": lambda store: store.get("a", at=1),
    "get_version": lambda store: store.get_version("a", 1),
    "get_many": lambda store: store.get_many(["a"]),
    "commit": lambda store: do(store, Put("a", b"2")),
    "scan": lambda store: store.scan(),
    "count": lambda store: store.count(prefix="a"),
    "history": lambda store: store.history("a"),
    "changes": lambda store: store.changes(0),
    "wait": lambda store: store.wait(1, 10),
    "stats": lambda store: store.stats(),
    "gauges": lambda store: store.gauges(),
    "compact": lambda store: store.compact(),
    "retention": lambda store: store.retention(),
    "moment": lambda store: store.moment(0),
    "expired": lambda store: store.expired(0, Moment(1, 1)),
    "hold": lambda store: store.hold(1),
}


def refuse_everything(store: EtcdStore) -> None:
    for name, use in USES.items():
        with pytest.raises(OpenedBeforeFork, match="open the store again in this process"):
            pytest.fail(f"{name} gave {use(store)}")
    assert "belongs to the parent" in store.health().reasons[0]


def test_a_child_gets_an_error_that_says_what_to_do(store):
    put(store, "a", b"1")

    in_child(lambda: refuse_everything(store))

    assert value(store, "a") == b"1"


def test_a_child_opens_a_store_of_its_own_beside_busy_threads(open_etcd, address):
    store = open_etcd(tidy_s=0.05)
    put(store, "a", b"1")
    stopping = threading.Event()
    failures: list[Exception] = []

    def work(number: int) -> None:
        count = 0
        try:
            while not stopping.is_set():
                count += 1
                put(store, f"{number}", b"%d" % count)
                assert value(store, f"{number}") == b"%d" % count
                store.wait(store.stats().revision - 1, 0.01)
        except Exception as ex:  # whatever it is, the test fails on it
            failures.append(ex)

    def use_own() -> None:
        refuse_everything(store)
        store.close()
        with closing(EtcdStore(EtcdPlace.of(address), StoreSettings())) as own:
            put(own, "child", b"1")
            assert value(own, "a") == b"1"
            assert own.wait(0, PATIENCE_S) > 0

    threads = [threading.Thread(target=work, args=(number,)) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    whole = 0
    try:
        for _ in range(FORKS):
            child = ForkedChild(use_own)
            child.finish()
            whole += not child.is_aborted  # gRPC aborts some, before any code of theirs runs
    finally:
        stopping.set()
        for thread in threads:
            thread.join()

    assert failures == []
    assert whole
    assert store.get("child").version == whole


def test_the_parent_goes_on_after_a_child_has_closed_and_collected_the_store(open_etcd):
    stores = [open_etcd()]
    put(stores[0], "a", b"1")

    def drop() -> None:
        stores.pop().close()
        gc.collect()

    in_child(drop)

    assert value(stores[0], "a") == b"1"
    assert stores[0].wait(0, PATIENCE_S) == 1


def test_multiprocessing_that_forks_may_have_a_store_open(store):
    put(store, "a", b"1")
    process = multiprocessing.get_context("fork").Process(target=refuse_everything, args=(store,))
    process.start()
    process.join(PATIENCE_S)

    assert process.exitcode == 0


def test_a_store_is_not_pickled(store):
    with pytest.raises(TypeError, match="send its address, and open it there"):
        pickle.dumps(store)
