"""Three nodes of etcd under faults: nothing acknowledged is lost, and the store comes back.

Writers and a follower of the feed run through every fault. A write that failed as ``Unavailable``
was certainly not applied; one that failed as ``OutcomeUnknown`` may have been.
"""

from __future__ import annotations

import itertools
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest

from rundlet_server.storage.address import StoreAddress
from rundlet_server.storage.errors import DiskFull, OutcomeUnknown, StoreError, Unavailable
from rundlet_server.storage.interface import Add, Delete, Put, Store, Txn
from rundlet_server.storage.opening import open_store
from tests.faults.test_linearizability import StoreTarget, run_clients
from tests.support import PATIENCE_S
from tests.support.backends import do, put, value
from tests.support.models.linearizability import NotDone, Unknown
from tests.support.processes.etcd import EtcdCluster
from tests.support.processes.servers import wait_for

pytestmark = pytest.mark.cluster

WRITERS = 4
BACK_S = 15.0
CALM_S = 1.5
"""So long the writers write before and after a fault."""


@dataclass
class Load:
    """Writers of one store, and what became of their writes.

    Attributes:
        acknowledged: keys whose write was acknowledged, with the value and the revision.
        refused: keys whose write was certainly not applied.
        unknown: keys whose write may have been applied.
        others: errors of any other kind.
        times_s: of acknowledgements.
    """

    acknowledged: dict[str, tuple[bytes, int]] = field(default_factory=dict)
    refused: set[str] = field(default_factory=set)
    unknown: set[str] = field(default_factory=set)
    others: list[Exception] = field(default_factory=list)
    times_s: list[float] = field(default_factory=list)

    def write(self, store: Store, number: int, stopping: threading.Event) -> None:
        for count in itertools.count():
            if stopping.is_set():
                return
            key, content = f"{number}/{count}", b"%d" % count
            try:
                commit = store.commit(Txn([Put(key, content), Add(f"count/{number}", 1)]))
            except OutcomeUnknown:
                self.unknown.add(key)
            except Unavailable:
                self.refused.add(key)
            except Exception as ex:  # told by ``check``
                self.others.append(ex)
                return
            else:
                self.acknowledged[key] = (content, commit.revision)
                self.times_s.append(time.monotonic())

    def wait_for_writes(self, since_s: float) -> float:
        """Wait until a write that began to count later is acknowledged; return how long it took."""
        count = len(self.times_s)
        wait_for(lambda: len(self.times_s) > count + WRITERS, 2 * BACK_S)
        return next(each for each in self.times_s[count:]) - since_s


@contextmanager
def writing(cluster: EtcdCluster) -> Iterator[tuple[Load, list[Store]]]:
    """Write to two stores, as two servers have them open, while the block runs."""
    address = StoreAddress.parse(cluster.address("load"))
    stores = [open_store(address) for _ in range(2)]
    load, stopping = Load(), threading.Event()
    threads = [
        threading.Thread(target=load.write, args=(stores[number % 2], number, stopping))
        for number in range(WRITERS)
    ]
    for thread in threads:
        thread.start()
    try:
        wait_for(lambda: len(load.times_s) > WRITERS)
        time.sleep(CALM_S)
        yield load, stores
        time.sleep(CALM_S)
        stopping.set()
        for thread in threads:
            thread.join(60)
            assert not thread.is_alive()
    finally:
        stopping.set()
        for store in stores:
            store.close()


def check(load: Load, store: Store) -> None:
    """Compare what the store has with what the writers were told."""
    assert load.others == []
    found = {}
    page = store.scan(include_values=True)
    keys = list(page.keys)
    while page.resume is not None:
        page = store.scan(include_values=True, after=page.resume, at=page.moment)
        keys += page.keys
    for info in keys:
        found[info.key] = (info.entry.value, info.revision)
    lost = {key for key, written in load.acknowledged.items() if found.get(key) != written}
    assert lost == set(), f"{len(lost)} of {len(load.acknowledged)} acknowledged writes are lost"
    assert not load.refused & found.keys(), "what was told as not applied is there"
    written = {key for key in found if not key.startswith("count/")}
    assert written <= load.acknowledged.keys() | load.unknown
    for number in range(WRITERS):
        count = sum(key.startswith(f"{number}/") for key in written)
        assert value(store, f"count/{number}") == b"%d" % count  # each was done once
    stats = store.stats()
    assert stats.key_count == store.count() == len(found)
    assert stats.value_bytes == sum(len(content) for content, _ in found.values())
    assert feed_of(store) == Counter(written)


def feed_of(store: Store) -> Counter[str]:
    """Return how often each key is in the feed, whose revisions must rise."""
    keys: Counter[str] = Counter()
    since, last = 0, 0
    head = store.stats().revision
    while since < head:
        page = store.changes(since, limit=500)
        for event in page.events:
            assert event.revision >= last
            last = event.revision
            if not event.key.startswith("count/"):
                keys[event.key] += 1
        since = page.next_since
    return keys


def kill_leader(cluster: EtcdCluster) -> Callable[[], None]:
    leader = cluster.leader()
    leader.kill()
    return leader.start_again


def kill_follower(cluster: EtcdCluster) -> Callable[[], None]:
    follower = cluster.followers()[0]
    follower.kill()
    return follower.start_again


def freeze_leader(cluster: EtcdCluster) -> Callable[[], None]:
    leader = cluster.leader()
    leader.send(signal.SIGSTOP)
    return lambda: leader.send(signal.SIGCONT)


def freeze_follower(cluster: EtcdCluster) -> Callable[[], None]:
    follower = cluster.followers()[0]
    follower.send(signal.SIGSTOP)
    return lambda: follower.send(signal.SIGCONT)


@pytest.mark.parametrize("fault", [kill_leader, kill_follower, freeze_leader, freeze_follower])
def test_one_node_may_fail(cluster, fault):
    with writing(cluster) as (load, stores):
        followed = Following(stores[0])
        begun_s = time.monotonic()
        mend = fault(cluster)
        assert load.wait_for_writes(begun_s) < BACK_S
        assert value(stores[1], "0/0") == b"0"
        mend()
    check(load, reopened := open_store(StoreAddress.parse(cluster.address("load"))))
    followed.check(load)
    reopened.close()


def test_followers_that_pause_before_the_leader_dies_lose_nothing(cluster):
    with writing(cluster) as (load, _):
        leader, followers = cluster.leader(), cluster.followers()
        for follower in followers:
            follower.send(signal.SIGSTOP)
        acknowledged = len(load.acknowledged)
        time.sleep(3)
        # What was in flight may still be acknowledged; without a majority, nothing new is.
        assert len(load.acknowledged) - acknowledged <= WRITERS
        leader.kill()
        begun_s = time.monotonic()
        for follower in followers:
            follower.send(signal.SIGCONT)
        assert load.wait_for_writes(begun_s) < BACK_S
        leader.start_again()
    reopened = open_store(StoreAddress.parse(cluster.address("load")))
    check(load, reopened)
    reopened.close()


def test_all_nodes_may_be_killed_and_started_again(cluster):
    with writing(cluster) as (load, stores):
        cluster.kill()
        with pytest.raises(StoreError):
            stores[0].get("0/0")
        wait_for(lambda: load.refused, 2 * BACK_S)  # no node is there, so certainly not applied
        begun_s = time.monotonic()
        for node in cluster.nodes:
            node.start_again()
        assert load.wait_for_writes(begun_s) < BACK_S
    reopened = open_store(StoreAddress.parse(cluster.address("load")))
    check(load, reopened)
    reopened.close()


class Following:
    """Follows the feed in a thread, as a reader of a server does.

    Attributes:
        keys: how often each was seen.
    """

    def __init__(self, store: Store) -> None:
        self.keys: Counter[str] = Counter()
        self._store = store
        self._since = 0
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while True:
            try:
                self._store.wait(self._since, 1)
                page = self._store.changes(self._since)
            except StoreError as ex:
                if "closed" in str(ex):
                    return
                continue
            self.keys.update(e.key for e in page.events if not e.key.startswith("count/"))
            self._since = page.next_since

    def check(self, load: Load) -> None:
        """What was seen came once, and what was acknowledged long before the end was seen."""
        self._thread.join(PATIENCE_S)
        assert set(self.keys.values()) == {1}
        assert len(self.keys) > len(load.acknowledged) * 0.5


def test_a_full_quota_is_told_as_a_full_disk(cluster):
    store = open_store(StoreAddress.parse(cluster.address("full")))
    put(store, "a", b"1")
    store.close()
    cluster.kill()
    for node in cluster.nodes:
        node.start_again("--quota-backend-bytes", str(4 * 1024 * 1024))
    for node in cluster.nodes:
        node.wait_until_healthy()
    store = open_store(StoreAddress.parse(cluster.address("full")))
    with pytest.raises(DiskFull):
        fill(store)

    assert value(store, "a") == b"1"
    assert any("NOSPACE" in reason for reason in store.health().reasons)
    with pytest.raises(DiskFull):
        do(store, Delete("a"))
    assert value(store, "a") == b"1"
    store.close()


class FailingTarget(StoreTarget):
    """A store of which operations fail as a server's do."""

    def __getattribute__(self, name: str) -> object:
        found = super().__getattribute__(name)
        if name not in ("get", "put", "swap", "delete", "add"):
            return found

        def done(*arguments: str) -> object:
            try:
                return found(*arguments)
            except OutcomeUnknown:
                raise Unknown from None
            except Unavailable:
                raise NotDone from None

        return done


@pytest.mark.parametrize("fault", [kill_leader, freeze_leader])
def test_what_clients_see_through_a_fault_is_linearizable(cluster, fault):
    address = StoreAddress.parse(cluster.address("linear"))
    opened = [open_store(address) for _ in range(2)]
    stores = itertools.cycle(opened)
    timer = threading.Timer(0.5, fault, (cluster,))
    timer.start()

    recorder = run_clients(lambda: FailingTarget(next(stores)), seed=1, operations=400)
    timer.join()

    assert recorder.wrong_keys() == []
    for store in opened:
        store.close()


def fill(store: Store) -> None:
    for number in range(100):
        put(store, f"big/{number}", bytes(500_000))
