"""Three nodes of etcd under faults: nothing acknowledged is lost, and the store comes back.

Writers and a follower of the feed run through every fault (``load``).
"""

from __future__ import annotations

import itertools
import signal
import threading
import time
from collections.abc import Callable

import pytest

from rundlet_server.storage.address import StoreAddress
from rundlet_server.storage.errors import DiskFull, StoreError
from rundlet_server.storage.interface import Delete, Store
from rundlet_server.storage.opening import open_store
from tests.cluster.load import BACK_S, WRITERS, FailingTarget, Following, check, writing
from tests.faults.test_linearizability import run_clients
from tests.support.backends import do, put, value
from tests.support.processes.etcd import EtcdCluster
from tests.support.processes.servers import wait_for

pytestmark = pytest.mark.cluster


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
    with writing(cluster.address("load")) as (load, stores):
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
    with writing(cluster.address("load")) as (load, _):
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
    with writing(cluster.address("load")) as (load, stores):
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
