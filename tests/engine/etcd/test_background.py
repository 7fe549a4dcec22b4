"""What the store in etcd does beside requests: expiry, compaction, few slots."""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Iterator
from contextlib import closing

import pytest

from rundlet_server.storage.address import StoreAddress
from rundlet_server.storage.errors import Compacted, InvalidRequest, Unavailable
from rundlet_server.storage.etcd import tidying
from rundlet_server.storage.etcd.cluster.place import EtcdPlace
from rundlet_server.storage.etcd.cluster.requests import span
from rundlet_server.storage.etcd.proto import rundlet_etcd_pb2 as pb
from rundlet_server.storage.etcd.store import EtcdStore
from rundlet_server.storage.etcd.stream import CommitEvents, CommitStream
from rundlet_server.storage.etcd.tidying import Tidier, Tidying
from rundlet_server.storage.interface import Delete, Put
from rundlet_server.storage.settings import StoreSettings
from rundlet_server.storage.timeline import Retention
from tests.support import PATIENCE_S
from tests.support.backends import do, kinds, put, value
from tests.support.models.model import Clock
from tests.support.processes.servers import wait_for


def tidying_of(store):
    return Tidying(store._views, store._commits, store._counter, store._keeping)


def test_an_expiry_is_an_event_although_nothing_else_happens(open_etcd, clock):
    store = open_etcd(tidy_s=0.1, clock=clock)
    put(store, "a", ttl_s=1)
    put(store, "b", ttl_s=1)
    revision = put(store, "b", b"stays").revision

    clock.advance(1)
    assert store.wait(revision, PATIENCE_S) > revision
    wait_for(lambda: kinds(store, "a") == ["expire", "put"])
    assert value(store, "b") == b"stays"
    assert [event.kind for event in store.changes(revision).events] == ["expire"]
    layout = store._views.layout
    assert store._views.client.range(store._counter._due(2**62, 0)).count == 0, layout


def test_compaction_drops_what_is_older_than_the_retention(alone):
    alone.retain(Retention(1, 0.0))
    for number in range(3):
        put(alone, "a", b"%d" % number)
    do(alone, Put("b", b""), Delete("a"))
    head = alone.stats().revision
    time.sleep(0.01)

    alone.compact(wait=True)

    assert alone.stats().oldest_revision == head
    with pytest.raises(Compacted) as caught:
        alone.get("a", at=1)
    assert caught.value.oldest_revision == head
    assert caught.value.oldest_time_us > 0
    with pytest.raises(Compacted):
        alone.changes(0)
    assert alone.history("a").versions == []
    assert [version.kind for version in alone.history("b").versions] == ["put"]
    assert (alone.stats().key_count, value(alone, "b")) == (1, b"")
    assert alone.changes(head).events == []


def test_what_is_held_is_kept(alone):
    alone.retain(Retention(1, 0.0))
    revision = put(alone, "a", b"1").revision
    put(alone, "a", b"2")
    with alone.hold(revision):
        time.sleep(0.01)
        alone.compact(wait=True)
        assert value(alone, "a", at=revision) == b"1"
    alone.compact(wait=True)

    with pytest.raises(Compacted), alone.hold(revision):
        pass


def test_what_a_dead_process_held_is_kept_for_an_hour(own_node):
    clock = Clock()
    place = EtcdPlace.of(StoreAddress.parse(f"etcd://{own_node.endpoint}/held"))
    store = EtcdStore(place, StoreSettings(clock=clock, keep_for_s=0.0), tidy_s=None)
    revision = put(store, "a", b"1").revision
    put(store, "a", b"2")
    left_behind = store.hold(revision)
    left_behind.__enter__()

    clock.advance(3_599)
    store.compact(wait=True)
    assert value(store, "a", at=revision) == b"1"
    clock.advance(1)
    store.compact(wait=True)
    with pytest.raises(Compacted):
        store.get("a", at=revision)
    meta = store._views.layout.meta
    assert not store._views.client.range(span(meta + b"hold/", meta + b"hold0")).kvs
    store.close()


def test_hold_that_the_collector_frees_ends_with_the_next_pass(own_node):
    place = EtcdPlace.of(StoreAddress.parse(f"etcd://{own_node.endpoint}/freed"))
    store = EtcdStore(place, StoreSettings(keep_for_s=0.0), tidy_s=None)
    revision = put(store, "a", b"1").revision
    meta = store._views.layout.meta
    cycle = [store.hold(revision)]
    cycle[0].__enter__()
    cycle.append(cycle)
    del cycle

    gc.collect()

    holds = span(meta + b"hold/", meta + b"hold0")
    assert len(store._views.client.range(holds).kvs) == 1
    tidying_of(store).release_abandoned()
    assert not store._views.client.range(holds).kvs
    store.close()


def test_another_store_of_the_cluster_keeps_what_it_needs(alone, own_node):
    other = EtcdStore(
        EtcdPlace.of(StoreAddress.parse(f"etcd://{own_node.endpoint}/other")),
        StoreSettings(keep_for_s=60),
        tidy_s=None,
    )
    alone.retain(Retention(1, 0.0))
    revision = put(alone, "a", b"1").revision
    put(alone, "a", b"2")
    time.sleep(0.01)

    alone.compact(wait=True)
    assert value(alone, "a", at=revision) == b"1"
    other.retain(Retention(1, 0.0))
    alone.compact(wait=True)
    with pytest.raises(Compacted):
        alone.get("a", at=revision)
    other.close()


def test_claim_of_a_clock_that_is_ahead_stops_no_compaction(own_node):
    place = EtcdPlace.of(StoreAddress.parse(f"etcd://{own_node.endpoint}/claimed"))
    clock, wrong = Clock(), Clock()
    wrong.advance(3_600)
    with closing(
        EtcdStore(place, StoreSettings(clock=wrong, keep_for_s=0.0), tidy_s=None)
    ) as other:
        other._keeping.compact_if_due()
    with closing(EtcdStore(place, StoreSettings(clock=clock), tidy_s=None)) as store:
        put(store, "a", b"1")
        second = put(store, "a", b"2").revision
        clock.advance(61)

        store._keeping.compact_if_due()

        assert store.stats().oldest_revision == second
        put(store, "a", b"3")
        clock.advance(59)
        store._keeping.compact_if_due()
        assert store.stats().oldest_revision == second


def test_history_is_kept_by_time_only(store):
    with pytest.raises(InvalidRequest, match="by time only"):
        store.retain(Retention(10, 60))


def test_store_that_does_not_open_leaves_no_connection(address):
    store = EtcdStore.__new__(EtcdStore)

    with pytest.raises(InvalidRequest, match="by time only"):
        store.__init__(EtcdPlace.of(address), StoreSettings(keep_versions=10))
    with pytest.raises(Unavailable, match="closed"):
        store.stats()


def test_retention_is_set_when_the_store_is_opened(open_etcd):
    store = open_etcd(keep_for_s=60.0)

    assert open_etcd().retention() == store.retention() == Retention(1, 60)


def test_slots_that_no_one_writes_become_one(open_etcd, monkeypatch):
    monkeypatch.setattr(tidying, "_SLOTS_MAX", 3)
    monkeypatch.setattr(tidying, "_SLOT_OLD_US", -1_000_000)
    stores = [open_etcd() for _ in range(4)]
    for number, store in enumerate(stores):
        put(store, f"{number}", b"12")
    before = stores[0].stats()

    assert tidying_of(stores[0]).add_up_slots()

    after = stores[0].stats()
    assert (after.key_count, after.value_bytes) == (before.key_count, before.value_bytes) == (4, 8)
    assert len(stores[0]._views.client.range(stores[0]._views.slots(0)).kvs) == 1
    assert not tidying_of(stores[0]).add_up_slots()
    put(stores[1], "1", b"345")  # its slot is gone: it takes another one
    assert (stores[2].stats().key_count, stores[2].stats().value_bytes) == (4, 9)
    assert stores[2].changes(0).next_since >= after.revision


def test_a_wait_goes_on_after_an_unexpected_failure_of_the_watch(open_etcd, monkeypatch, caplog):
    store = open_etcd()
    has_failed = threading.Event()
    works = CommitStream.take

    def failing(stream: CommitStream, response: pb.WatchResponse) -> Iterator[CommitEvents]:
        if not has_failed.is_set():
            has_failed.set()
            raise ValueError("a bug")
        yield from works(stream, response)

    monkeypatch.setattr(CommitStream, "take", failing)
    revision = put(store, "a").revision
    assert store.wait(revision, 0.01) == revision
    assert has_failed.wait(PATIENCE_S)

    with closing(open_etcd()) as other:
        put(other, "a", b"later")

    assert store.wait(revision, PATIENCE_S) > revision
    assert "the watch of etcd failed unexpectedly" in caplog.text


def test_tidying_goes_on_after_an_unexpected_failure(monkeypatch, caplog):
    done = []

    class Failing(Tidying):
        def __init__(self) -> None:
            pass

        def expire(self) -> int:
            done.append("tried")
            raise ValueError("a bug")

    with closing(Tidier(Failing(), 0.001)) as tidier:
        tidier.start()
        wait_for(lambda: len(done) > 1)

    assert "the tidying of etcd failed unexpectedly" in caplog.text
