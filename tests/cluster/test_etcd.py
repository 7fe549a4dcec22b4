"""Three nodes of etcd under faults: nothing acknowledged is lost, and the store comes back.

Writers and a follower of the feed run through every fault (``load``).
"""

from __future__ import annotations

import contextlib
import itertools
import json
import signal
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from rundlet_server.storage.address import StoreAddress
from rundlet_server.storage.errors import DiskFull, StoreError
from rundlet_server.storage.interface import Delete, Store
from rundlet_server.storage.opening import open_store
from tests.cluster.load import BACK_S, WRITERS, FailingTarget, Following, check, writing
from tests.faults.test_linearizability import run_clients
from tests.support.backends import do, put, value
from tests.support.processes.etcd import EtcdCluster
from tests.support.processes.networks import CutNetwork
from tests.support.processes.servers import wait_for
from tests.support.programs import program

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
def test_one_node_may_fail(cluster, fault, tell):
    with writing(cluster.address("load")) as (load, stores):
        followed = Following(stores[0])
        begun_s = time.monotonic()
        mend = fault(cluster)
        back_s = load.wait_for_writes(begun_s)
        assert back_s < BACK_S
        assert value(stores[1], "0/0") == b"0"
        mend()
    check(load, reopened := open_store(StoreAddress.parse(cluster.address("load"))))
    followed.check(load)
    reopened.close()
    tell(f"back after {back_s:.1f} s, {len(load.acknowledged)} acknowledged, none lost")


@pytest.fixture
def network() -> Iterator[CutNetwork]:
    """Three machines; skip the test if none can be made here."""
    with contextlib.closing(CutNetwork(3)) as network:
        yield network


@pytest.fixture
def cut_cluster(network: CutNetwork, tmp_path: Path) -> Iterator[EtcdCluster]:
    """A node on each machine of a network."""
    made = EtcdCluster.in_network(tmp_path, network)
    try:
        made.start()
        yield made
    finally:
        made.kill()


def test_a_leader_that_the_others_cannot_reach_is_left(network, cut_cluster, tell):
    number = cut_cluster.nodes.index(cut_cluster.leader())
    with writing(cut_cluster.address("load")) as (load, stores):
        followed = Following(stores[0])
        begun_s = time.monotonic()
        network.cut(number)  # servers still reach it
        back_s = load.wait_for_writes(begun_s)
        assert back_s < BACK_S
        for store in stores:
            last = put(stores[0], "last", b"%f" % time.monotonic())
            assert store.get("last").revision == last.revision
        network.cut(number, is_cut=False)
    with contextlib.closing(open_store(StoreAddress.parse(cut_cluster.address("load")))) as store:
        do(store, Delete("last"))
        check(load, store, besides=Counter({"last": 3}))
    tell(f"back after {back_s:.1f} s, {len(load.acknowledged)} acknowledged, none lost")
    followed.keys.pop("last", None)
    followed.check(load)


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


@pytest.mark.parametrize("names", [["big"], [f"big/{number}" for number in range(100)]], ids=len)
def test_a_full_quota_is_told_and_the_way_out_is_as_documented(cluster, names):
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
        fill(store, names)

    assert value(store, "a") == b"1"
    assert any("NOSPACE" in reason for reason in store.health().reasons)
    with pytest.raises(DiskFull):
        do(store, Delete("a"))
    assert value(store, "a") == b"1"

    # As in docs/operations.md.
    if len(names) > 1:  # it is no history that fills it
        for node in cluster.nodes:
            node.kill()
            node.start_again("--quota-backend-bytes", str(64 * 1024 * 1024))
            wait_for(node.has_leader)
    [status, *_] = json.loads(etcdctl(cluster, "endpoint", "status", "-w", "json"))
    etcdctl(cluster, "compact", str(status["Status"]["header"]["revision"]))
    etcdctl(cluster, "defrag", "--command-timeout", "30s")
    etcdctl(cluster, "alarm", "disarm")
    wait_for(lambda: not store.health().reasons)
    for name in names[:2]:
        do(store, Delete(name))
    put(store, "b", b"2")
    assert (value(store, "a"), value(store, "b")) == (b"1", b"2")
    store.close()


def etcdctl(cluster: EtcdCluster, *arguments: str) -> str:
    endpoints = ",".join(node.endpoint for node in cluster.nodes)
    done = subprocess.run(
        [program("etcdctl"), "--endpoints", endpoints, *arguments],
        env={"ETCDCTL_API": "3"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


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


def fill(store: Store, names: list[str]) -> None:
    for name in names * (100 // len(names)):
        put(store, name, bytes(500_000))
