"""Commits whose answer is lost are decided: they are done once, or not at all."""

from __future__ import annotations

import threading

import pytest

from rundlet_server.storage.errors import LimitExceeded, OutcomeUnknown, Unavailable
from rundlet_server.storage.etcd import commits
from rundlet_server.storage.etcd.cluster.client import FailedCall
from rundlet_server.storage.interface import Add, Condition, Delete, Put, Txn
from tests.support.backends import do, put, value

THREADS, EACH = 4, 10


class LossyClient:
    """A client of which writes fail: before they are sent, or once they are applied.

    Attributes:
        faults: of the next writes, in order: ``before``, ``after``, or "" for none.
    """

    def __init__(self, client, *faults):
        self._client = client
        self.faults = list(faults)

    def __getattr__(self, name):
        return getattr(self._client, name)

    def write(self, request):
        fault = self.faults.pop(0) if self.faults else ""
        if fault != "before":
            answer = self._client.write(request)
        if fault:
            raise FailedCall("unknown", "the answer is lost")
        return answer


def lose(store, *faults):
    store._views.client = LossyClient(store._views.client, *faults)


@pytest.mark.parametrize("fault", ["before", "after"])
@pytest.mark.parametrize("decision", [(), ("before",), ("after",), ("after", "after")])
def test_a_commit_whose_answer_is_lost_is_done_once(store, fault, decision):
    put(store, "n", b"1")
    lose(store, fault, *decision)

    commit = do(store, Add("n", 1), Put("a", b"xy"))

    assert commit.results[0].number == 2
    assert (value(store, "n"), store.get("n").revision) == (b"2", commit.revision)
    stats = store.stats()
    assert (stats.key_count, stats.value_bytes) == (2, 3)
    assert [event.key for event in store.changes(1).events] == ["n", "a"]


def test_a_commit_that_cannot_be_decided_is_told(store, monkeypatch):
    monkeypatch.setattr(commits, "PATIENCE_S", 0.3)
    put(store, "n", b"1")
    lose(store, *["after"] * 1, *["before"] * 1_000)

    with pytest.raises(OutcomeUnknown):
        do(store, Add("n", 1))
    store._views.client.faults.clear()
    assert do(store, Add("n", 1)).results[0].number == 3
    assert store.stats().key_count == 1


def test_writes_of_one_key_by_many_are_all_done(open_etcd):
    stores = [open_etcd() for _ in range(2)]

    def count_up(store):
        for number in range(EACH):
            do(store, Add("n", 1), Put(f"{threading.get_ident()}/{number}", b"12"))

    threads = [
        threading.Thread(target=count_up, args=(stores[number % 2],)) for number in range(THREADS)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    total = THREADS * EACH
    assert value(stores[0], "n") == b"%d" % total
    stats = stores[1].stats()
    assert (stats.key_count, stats.value_bytes) == (1 + total, len(str(total)) + 2 * total)
    assert stores[0].count() == 1 + total


def test_the_largest_value_and_transaction_are_taken(store):
    limits = store.info.limits
    key = "k" * limits.key_bytes_max

    put(store, key, bytes(limits.value_bytes_max), ttl_s=60)
    do(store, *(Put(f"{number}", b"", ttl_s=60) for number in range(limits.txn_ops_max)))
    do(store, *(Put(f"{number}", b"", ttl_s=70) for number in range(limits.txn_ops_max)))
    do(store, *(Delete(f"{number}") for number in range(limits.txn_ops_max)))

    assert len(store.get(key).value) == limits.value_bytes_max
    assert store.stats().key_count == store.count() == 1
    with pytest.raises(LimitExceeded, match="txn_ops_max"):
        do(store, *(Delete(f"{number}") for number in range(limits.txn_ops_max + 1)))
    many = [Condition(f"{number}", exists=False) for number in range(128)]
    with pytest.raises(LimitExceeded, match="txn_ops_max"):
        store.commit(Txn([], many))


def test_long_keys_of_one_transaction_are_too_large_for_etcd_together(store):
    limits = store.info.limits
    keys = [f"{number:02}{'k' * (limits.key_bytes_max - 2)}" for number in range(60)]
    size = limits.txn_bytes_max // len(keys) - limits.key_bytes_max

    with pytest.raises(LimitExceeded, match="txn_bytes_max"):
        do(store, *(Put(key, bytes(size), ttl_s=60) for key in keys))
    assert store.count() == 0


def test_a_closed_store_is_unavailable(store):
    store.close()

    with pytest.raises(Unavailable):
        store.get("a")
