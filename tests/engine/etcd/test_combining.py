"""Reads that come together share a call, and each is answered as if it were alone."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from rundlet_server.storage.errors import OpenedBeforeFork, Unavailable
from rundlet_server.storage.etcd.cluster.calls import TXN
from rundlet_server.storage.etcd.cluster.client import PATIENCE_S, EtcdClient, FailedCall
from rundlet_server.storage.etcd.cluster.combining import ANSWER_BYTES_AIM, CombinedReads
from rundlet_server.storage.etcd.cluster.place import EtcdPlace
from rundlet_server.storage.etcd.cluster.requests import OPS_MAX
from tests.faults.test_linearizability import CLIENTS, StoreTarget, run_clients
from tests.support import PATIENCE_S as TEST_S
from tests.support.backends import put
from tests.support.processes.forks import ForkedChild
from tests.support.processes.servers import wait_for

LONG_S = 3_600.0


class HeldClient(EtcdClient):
    """Holds calls whose answers have come, and fails others.

    Attributes:
        calls: of each call the number of its keys, and the patience that it was given.
        gate: calls wait for it.
        before: called with the number of keys before a call; it may raise.
    """

    def __init__(self, place: EtcdPlace) -> None:
        super().__init__(place)
        self.calls: list[tuple[int, float | None]] = []
        self.gate = threading.Event()
        self.gate.set()
        self.before: Callable[[int], None] = lambda _: None

    def read(self, call, request, *, patience_s=None):
        size = len(request.success) if call is TXN else 1
        self.before(size)
        answer = super().read(call, request, patience_s=patience_s)
        self.calls.append((size, patience_s))
        assert self.gate.wait(TEST_S)
        return answer

    @property
    def sizes(self) -> list[int]:
        return [size for size, _ in self.calls]


@pytest.fixture
def client(address) -> Iterator[HeldClient]:
    client = HeldClient(EtcdPlace.of(address))
    yield client
    client.gate.set()
    client.close()


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(200) as pool:
        yield pool


class Readers:
    """Threads that read keys of a store; what they read is compared with what it holds."""

    def __init__(self, store, client, threads, **options) -> None:
        self.combined = CombinedReads(client, **options)
        self._data = store._views.layout.data
        self._client = client
        self._threads = threads

    def read(self, key: str) -> bytes | None:
        kvs = self.combined.read(self._data + key.encode()).answer.kvs
        return kvs[0].value[-1:] if kvs else None

    def hold(self, key: str) -> Future[bytes | None]:
        """Start a read whose call stays in flight until the gate is opened."""
        self._client.gate.clear()
        held = self.start(key)
        wait_for(lambda: len(self._client.calls) == 1)
        return held

    def start(self, key: str) -> Future[bytes | None]:
        return self._threads.submit(self.read, key)

    def gather(self, *keys: str) -> list[Future[bytes | None]]:
        """Start reads one after the other, which join the batch that is gathered."""
        started = []
        for number, key in enumerate(keys, 1):
            started.append(self.start(key))
            wait_for(lambda: self.gathered() == len(set(keys[:number])))  # noqa: B023 # called here
        return started

    def gathered(self) -> int:
        batch = self.combined._gathering
        return len(batch.keys) if batch else 0

    def release(self, *reads: Future[bytes | None]) -> list[bytes | None]:
        self._client.gate.set()
        return [read.result(TEST_S) for read in reads]


@pytest.fixture
def readers(store, client, threads) -> Readers:
    """Readers that wait for the call in flight however long it takes; the store has three keys."""
    for key in "abc":
        put(store, key, key.encode())
    return Readers(store, client, threads, wait_s=LONG_S)


def test_a_read_goes_at_once_and_alone(readers, client):
    assert [readers.read(key) for key in "ab-"] == [b"a", b"b", None]
    assert client.calls == [(1, None)] * 3


def test_reads_that_come_during_a_call_share_the_next(readers, client):
    first = readers.hold("a")
    others = readers.gather("b", "c", "-", "b")

    assert readers.release(first, *others) == [b"a", b"b", b"c", None, b"b"]
    assert client.sizes == [1, 3]


def test_a_read_sees_what_was_committed_before_it_began(store, readers):
    first = readers.hold("a")  # etcd has answered it
    put(store, "a", b"2")
    second = readers.start("a")
    wait_for(lambda: readers.gathered() == 1)

    assert readers.release(first, second) == [b"a", b"2"]


def test_a_read_does_not_join_a_batch_that_was_sent(store, readers, client):
    first = readers.hold("a")
    second, third = readers.gather("a", "b")
    gate, client.gate = client.gate, threading.Event()
    gate.set()
    wait_for(lambda: len(client.calls) == 2)  # etcd has answered the batch
    put(store, "a", b"2")
    fourth = readers.start("a")
    wait_for(lambda: readers.gathered() == 1)

    assert readers.release(first, second, third, fourth) == [b"a", b"a", b"b", b"2"]


def test_reads_wait_for_a_slow_call_no_longer_than_they_are_told(store, client, threads):
    put(store, "a", b"a")
    readers = Readers(store, client, threads, wait_s=0.01)
    first = readers.hold("a")
    second = readers.start("a")
    wait_for(lambda: len(client.calls) == 2)  # its call is held, too

    assert readers.release(first, second) == [b"a", b"a"]


def test_a_full_batch_goes_at_once(readers, client):
    first = readers.hold("a")
    others = [readers.start(f"k{number}") for number in range(OPS_MAX)]
    wait_for(lambda: len(client.calls) == 2)

    assert client.sizes == [1, OPS_MAX]
    assert readers.release(first, *others) == [b"a"] + [None] * OPS_MAX


def test_reads_of_large_values_do_not_wait_for_each_other(store, readers, client):
    put(store, "large", bytes(ANSWER_BYTES_AIM))
    readers.read("large")
    client.calls.clear()
    first = readers.hold("large")
    others = [readers.start(key) for key in ("a", "b")]
    wait_for(lambda: len(client.calls) == 3)

    assert client.sizes == [1, 1, 1]
    assert readers.release(first, *others) == [b"\0", b"a", b"b"]


def test_each_read_is_told_that_no_node_answers(readers, client):
    first = readers.hold("a")
    others = readers.gather("a", "b", "c")

    def fail(_: int) -> None:
        raise Unavailable("no node answers")

    client.before = fail
    client.gate.set()

    assert first.result(TEST_S) == b"a"
    errors = [read.exception(TEST_S) for read in others]
    assert [str(error) for error in errors] == ["no node answers"] * 3
    assert len(set(map(id, errors))) == 3
    client.before = lambda _: None
    assert readers.read("a") == b"a"


def test_reads_of_a_call_that_is_refused_go_alone(readers, client):
    first = readers.hold("a")
    others = readers.gather("a", "b", "c")

    def refuse(size: int) -> None:
        if size > 1:
            raise FailedCall("too large", "larger than max")

    client.before = refuse

    assert readers.release(first, *others) == [b"a", b"a", b"b", b"c"]
    assert client.sizes == [1, 1, 1, 1]


def test_a_leader_that_is_interrupted_leaves_no_read_without_an_answer(readers, client):
    first = readers.hold("a")
    leader, *others = readers.gather("a", "b", "c")

    def interrupt(size: int) -> None:
        if size > 1:
            raise KeyboardInterrupt

    client.before = interrupt

    assert readers.release(first, *others) == [b"a", b"b", b"c"]
    assert isinstance(leader.exception(TEST_S), KeyboardInterrupt)
    assert readers.combined._in_flight == 0
    assert readers.read("a") == b"a"


def test_waiting_for_the_call_in_flight_counts_as_patience(readers, client):
    first = readers.hold("a")
    others = readers.gather("a", "b")
    time.sleep(0.1)

    readers.release(first, *others)
    assert client.calls[1][1] < PATIENCE_S - 0.1


def test_closing_ends_reads_that_wait(readers, client):
    first = readers.hold("a")
    others = readers.gather("a", "b")
    client.close()
    client.gate.set()

    first.exception(TEST_S)
    for read in others:
        with pytest.raises(Unavailable, match="closed"):
            read.result(TEST_S)


def test_a_forked_child_is_refused_although_a_batch_was_gathered(readers):
    first = readers.hold("a")
    other = readers.gather("b")

    def read_in_child() -> None:
        with pytest.raises(OpenedBeforeFork):
            readers.read("a")

    with readers.combined._lock:  # as if another thread had it
        child = ForkedChild(read_in_child)
    child.finish()
    assert readers.release(first, *other) == [b"a", b"b"]


def test_clients_of_one_store_are_linearizable(store):
    recorder = run_clients(lambda: StoreTarget(store), seed=2, operations=60, keys=2)

    assert recorder.wrong_keys() == []
    assert recorder.operation_count > CLIENTS * 60 * 0.6
