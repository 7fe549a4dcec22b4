"""Erasing in etcd: hidden at once, gone when etcd compacts; the contract has the rest."""

from __future__ import annotations

import subprocess
import threading
import time

import pytest

from rundlet_server.storage.address import StoreAddress
from rundlet_server.storage.errors import Compacted, Unavailable
from rundlet_server.storage.etcd import erasing
from rundlet_server.storage.etcd.cluster.place import EtcdPlace
from rundlet_server.storage.etcd.cluster.requests import one, span
from rundlet_server.storage.etcd.layout import end_of
from rundlet_server.storage.etcd.store import EtcdStore
from rundlet_server.storage.interface import Delete, Put
from rundlet_server.storage.settings import StoreSettings
from rundlet_server.storage.timeline import Retention
from tests.support import PATIENCE_S
from tests.support.backends import do, kinds, names, put, value
from tests.support.processes.etcd import EtcdNode, quick_options
from tests.support.processes.servers import wait_for
from tests.support.programs import program

SECRET = b"the secret that is to be gone"


def raw_entries(store: EtcdStore, prefix: bytes) -> list[bytes]:
    return [kv.key for kv in store._views.client.range(span(prefix, end_of(prefix))).kvs]


def test_all_lives_of_a_key_are_hidden_and_counted(store):
    for _ in range(3):
        do(store, Put("a/b", b"1"), Put("a/c", b"2"))
        put(store, "a/b", b"12")
        do(store, Delete("a/b"))
    revision = put(store, "a/b").revision
    put(store, "a/d", b"x", ttl_s=1_000)

    erased = store.erase("a/b")

    assert erased.versions == 7
    assert kinds(store, "a/b") == ["erase"]
    assert store.history("a/b", before=erased.revision).versions == []
    for at in range(1, erased.revision):
        shown = names(store.scan(at=at))
        assert "a/b" not in shown
        assert store.count(prefix="a/", at=at) == len(shown)
        assert store.count(prefix="a/b", at=at) == 0
        assert store.scan(prefix="a", delimiter="/", at=at).prefixes == ["a/"]
    assert value(store, "a/c", at=revision) == b"2"


def test_another_process_hides_it_in_the_feed_that_it_keeps_in_memory(open_etcd):
    writing, following = open_etcd(), open_etcd()
    following.wait(0, 0.01)
    put(writing, "a", SECRET)
    put(writing, "b", b"1")
    assert following.wait(1, PATIENCE_S) == 2
    events = following.changes(0, include_values=True).events
    assert [event.value for event in events] == [SECRET, b"1"]

    writing.erase("a")
    put(writing, "a", b"new")

    events = following.changes(0, include_values=True).events
    assert [(event.kind, event.key, event.value) for event in events] == [
        ("put", "b", b"1"),
        ("erase", "a", None),
        ("put", "a", b"new"),
    ]


def test_an_erasure_of_a_deleted_key_is_an_event(open_etcd):
    store, following = open_etcd(), open_etcd()
    put(store, "a")
    revision = do(store, Delete("a")).revision

    erased = store.erase("a")

    for each in (store, following):
        [event] = each.changes(0).events
        assert (event.revision, event.kind, event.key) == (erased.revision, "erase", "a")
        assert each.changes(revision).next_since == erased.revision


def test_it_is_pending_until_etcd_has_compacted_its_revision(alone):
    alone.retain(Retention(1, 3_600))
    revision = put(alone, "a", SECRET).revision
    began_s = time.monotonic()

    first = alone.erase("a", wait_s=60)
    assert first.is_pending
    assert time.monotonic() - began_s < 30, "it must not wait for what cannot come"
    assert raw_entries(alone, alone._views.layout.erased)
    request = one(alone._views.layout.data + b"a", revision=alone._views.base + revision)
    assert SECRET in alone._views.client.range(request).kvs[0].value

    alone.retain(Retention(1, 0.3))
    second = alone.erase("a", wait_s=PATIENCE_S)

    assert (second.revision, second.is_pending, second.is_found) == (first.revision, False, True)
    assert raw_entries(alone, alone._views.layout.erased) == []
    with pytest.raises(Compacted):
        alone.get("a", at=1)
    put(alone, "a", b"2")
    assert (value(alone, "a"), kinds(alone, "a")) == (b"2", ["put"])


def test_after_a_defragment_the_file_of_etcd_has_nothing_of_it(alone, own_node, tmp_path):
    alone.retain(Retention(1, 0.0))
    put(alone, "a", SECRET)
    put(alone, "a", SECRET * 2)
    put(alone, "b", b"what stays")

    assert not alone.erase("a", wait_s=PATIENCE_S).is_pending
    command = [program("etcdctl"), "--endpoints", own_node.endpoint, "defrag"]
    subprocess.run(command, env={"ETCDCTL_API": "3"}, check=True, capture_output=True)

    [file] = tmp_path.rglob("snap/db")
    assert SECRET not in file.read_bytes()
    assert b"what stays" in file.read_bytes()


def test_a_key_that_others_write_is_erased_with_what_they_wrote_before(open_etcd):
    stores = [open_etcd(), open_etcd()]
    stopping = threading.Event()

    def write() -> None:
        while not stopping.wait(0.002):
            put(stores[1], "a", SECRET)

    thread = threading.Thread(target=write)
    thread.start()
    try:
        wait_for(lambda: value(stores[0], "a"))
        erased = [stores[0].erase("a") for _ in range(20)]
    finally:
        stopping.set()
        thread.join()

    for store in stores:
        events = store.changes(0).events
        last = max(each.revision for each in erased)
        assert [event.kind for event in events if event.revision <= last] == ["erase"]
        assert kinds(store, "a")[-1] == "erase"
        assert store.stats().key_count == store.count()


def test_too_many_that_are_pending_refuse_another(store, monkeypatch):
    monkeypatch.setattr(erasing, "ERASURES_MAX", 2)
    for key in "abc":
        put(store, key)
    store.erase("a")
    store.erase("b")

    with pytest.raises(Unavailable, match="shorten the retention"):
        store.erase("c")
    assert value(store, "c") is not None
    assert store.erase("a").is_found


def test_the_background_removes_what_lists_it(tmp_path):
    node = EtcdNode(tmp_path)
    node.start(*quick_options())
    try:
        node.wait_until_healthy()
        place = EtcdPlace.of(StoreAddress.parse(f"etcd://{node.endpoint}/x"))
        store = EtcdStore(place, StoreSettings(keep_for_s=0.0), tidy_s=None)
        put(store, "a", SECRET)
        store.erase("a")
        time.sleep(0.01)
        store._keeping.compact_if_due()

        assert raw_entries(store, store._views.layout.erased) == []
        assert not store.erase("a").is_pending
        store.close()
    finally:
        node.kill()
