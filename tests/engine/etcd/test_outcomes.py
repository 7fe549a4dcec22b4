"""Test the leases of outcomes, and keys that two requests use at once."""

from __future__ import annotations

import threading

import pytest

from rundlet_server.storage.errors import IdempotencyKeyReused, Unavailable
from rundlet_server.storage.etcd.outcomes import _LEASE_KEYS_MAX, _Lease
from rundlet_server.storage.etcd.store import EtcdStore
from rundlet_server.storage.interface import Add, Put, Txn
from rundlet_server.storage.outcomes.idempotency import KEY_SIZE, Idempotency
from tests.support.backends import value


def once(number: int, *, keep_s: int = 60, request: bytes = b"") -> Idempotency:
    return Idempotency(number.to_bytes(KEY_SIZE), request, keep_s)


def lease_of(store: EtcdStore, number: int, keep_s: int = 60) -> int:
    store.commit(Txn([Add("n")], idempotency=once(number, keep_s=keep_s)))
    lease = store._commits._outcomes._lease
    assert lease is not None
    return lease.lease_id


def test_outcomes_share_a_lease_that_is_long_enough(alone):
    first = lease_of(alone, 1)

    assert lease_of(alone, 2) == first
    longer = lease_of(alone, 3, keep_s=90)
    assert longer != first
    alone._commits._outcomes._attached = _LEASE_KEYS_MAX
    assert lease_of(alone, 4, keep_s=90) not in (first, longer)


def test_a_lease_that_is_gone_refuses_one_write_and_no_more(alone):
    lease_of(alone, 1)
    outcomes = alone._commits._outcomes
    assert outcomes._lease is not None
    outcomes._lease = _Lease(7, 60, outcomes._lease.granted_s)
    txn = Txn([Add("n")], idempotency=once(2))

    with pytest.raises(Unavailable):
        alone.commit(txn)
    assert value(alone, "n") == b"1"
    assert not alone.commit(txn).is_replay
    assert value(alone, "n") == b"2"


def test_one_key_at_once_for_two_requests_serves_one(open_etcd):
    """They write other keys, so that only the key of the outcome is in both."""
    stores = [open_etcd(), open_etcd()]
    for number in range(5):
        refused: list[str] = []
        barrier = threading.Barrier(2)

        def commit(
            name: str,
            store: EtcdStore,
            number: int = number,
            refused: list[str] = refused,
            barrier: threading.Barrier = barrier,
        ) -> None:
            txn = Txn([Put(name, b"")], idempotency=once(number, request=name.encode()))
            barrier.wait()
            try:
                store.commit(txn)
            except IdempotencyKeyReused:
                refused.append(name)

        threads = [
            threading.Thread(target=commit, args=(f"{name}{number}", store))
            for name, store in zip("ab", stores, strict=True)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(refused) == 1
        assert [key for key in ("a", "b") if value(stores[0], f"{key}{number}") is None] == [
            refused[0][0]
        ]
