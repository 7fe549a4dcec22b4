"""Stores in the etcd of all tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from rundlet_server.storage.address import StoreAddress
from rundlet_server.storage.etcd.cluster.place import EtcdPlace
from rundlet_server.storage.etcd.store import EtcdStore
from rundlet_server.storage.settings import StoreSettings
from tests.support.processes.etcd import EtcdNode, quick_options, shared_etcd, store_name

OpenEtcd = Callable[..., EtcdStore]


@pytest.fixture
def address(tmp_path: Path) -> StoreAddress:
    """A store of this test's own, which no one has opened yet."""
    return StoreAddress.parse(f"etcd://{shared_etcd()}/{store_name(tmp_path)}")


@pytest.fixture
def own_node(tmp_path: Path) -> Iterator[EtcdNode]:
    """A node of etcd that no other test uses."""
    node = EtcdNode(tmp_path)
    node.start(*quick_options())
    try:
        node.wait_until_healthy()
        yield node
    finally:
        node.kill()


@pytest.fixture
def alone(own_node: EtcdNode) -> Iterator[EtcdStore]:
    """An empty store without background work, the only one in its cluster."""
    address = StoreAddress.parse(f"etcd://{own_node.endpoint}/alone")
    store = EtcdStore(EtcdPlace.of(address), StoreSettings(), tidy_s=None)
    yield store
    store.close()


@pytest.fixture
def open_etcd(address: StoreAddress) -> Iterator[OpenEtcd]:
    """Opens the store; what it opened is closed after the test."""
    opened: list[EtcdStore] = []

    def open_one(*, tidy_s: float | None = None, **settings: object) -> EtcdStore:
        place = EtcdPlace.of(address)
        opened.append(EtcdStore(place, StoreSettings(**settings), tidy_s=tidy_s))
        return opened[-1]

    yield open_one
    for store in opened:
        store.close()


@pytest.fixture
def store(open_etcd: OpenEtcd) -> EtcdStore:
    """An empty store without background work."""
    return open_etcd()
