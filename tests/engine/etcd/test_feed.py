"""A feed through a gateway that ends watches early, as if they were complete."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import replace
from typing import Any

import grpc
import pytest

from rundlet_server.storage.address import StoreAddress
from rundlet_server.storage.errors import Unavailable
from rundlet_server.storage.etcd.cluster.calls import WATCH
from rundlet_server.storage.etcd.cluster.place import EtcdPlace
from rundlet_server.storage.etcd.store import EtcdStore
from rundlet_server.storage.settings import StoreSettings
from tests.support import PATIENCE_S
from tests.support.backends import put
from tests.support.processes.etcd import shared_etcd


class Gateway(grpc.GenericRpcHandler):
    """Forwards all calls to a node.

    Attributes:
        early_ends: so many of the next watches end, without an error, before the first event.
        endpoint: where it listens.
    """

    def __init__(self, node: str) -> None:
        self.early_ends = 0
        self._channel = grpc.insecure_channel(node)
        self._server = grpc.server(ThreadPoolExecutor(8), handlers=[self])
        self.endpoint = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"
        self._server.start()

    def service(self, call: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
        if call.method == WATCH.path:
            return grpc.stream_stream_rpc_method_handler(self._watch)
        forward = self._channel.unary_unary(call.method)
        return grpc.unary_unary_rpc_method_handler(lambda request, _: forward(request))

    def _watch(self, requests: Iterator[bytes], context: Any) -> Iterator[bytes]:
        is_early = self.early_ends > 0
        self.early_ends -= is_early
        answers = self._channel.stream_stream(WATCH.path)(_until_cancelled(requests))
        context.add_callback(answers.cancel)
        yield from _until_cancelled(itertools.islice(answers, 1 if is_early else None))

    def close(self) -> None:
        self._server.stop(grace=None).wait()
        self._channel.close()


def _until_cancelled(messages: Iterator[bytes]) -> Iterator[bytes]:
    with suppress(grpc.RpcError):
        yield from messages


@pytest.fixture
def gateway() -> Iterator[Gateway]:
    with closing(Gateway(shared_etcd())) as gateway:
        yield gateway


@pytest.fixture
def behind(gateway: Gateway, address: StoreAddress, store: EtcdStore) -> Iterator[EtcdStore]:
    """The store through the gateway; its own watch has begun at revision 3."""
    for key in "abc":
        put(store, key)
    place = replace(EtcdPlace.of(address), endpoints=(gateway.endpoint,))
    with closing(EtcdStore(place, StoreSettings(), tidy_s=None)) as behind:
        head = behind.stats().revision
        behind.wait(head, 0)
        put(store, "d")
        assert behind.wait(head, PATIENCE_S) > head
        yield behind


@pytest.fixture
def both(gateway: Gateway, address: StoreAddress) -> Iterator[EtcdStore]:
    """The store through the gateway, and without it if the gateway breaks."""
    place = replace(EtcdPlace.of(address), endpoints=(gateway.endpoint, shared_etcd()))
    with closing(EtcdStore(place, StoreSettings(), tidy_s=None)) as both:
        client = both._client
        [client._chosen] = [each for each in client._endpoints if each.address == gateway.endpoint]
        yield both


def test_a_watch_that_ends_early_is_begun_again(behind, gateway):
    gateway.early_ends = 1

    page = behind.changes(0)

    assert [event.key for event in page.events] == ["a", "b", "c", "d"]
    assert page.next_since == behind.stats().revision
    assert gateway.early_ends == 0


def test_a_watch_that_ends_early_is_begun_again_on_another_node(both, store, gateway):
    for key in "abc":
        put(store, key)
    both.wait(both.stats().revision, 0)
    gateway.early_ends = 100

    assert [event.key for event in both.changes(0).events] == ["a", "b", "c"]
    assert gateway.early_ends < 100


def test_a_wait_whose_watch_ends_early_waits_on_another_node(both, store, gateway):
    gateway.early_ends = 100
    head = both.stats().revision
    both.wait(head, 0)
    put(store, "a")

    assert both.wait(head, PATIENCE_S) > head
    assert gateway.early_ends == 99


def test_a_feed_whose_watches_all_end_early_skips_no_commit(behind, gateway):
    gateway.early_ends = 100

    with pytest.raises(Unavailable, match="feed broke"):
        behind.changes(0)
