"""Test that outcomes leave the database when their time is over."""

from __future__ import annotations

from rundlet_server.storage.interface import Add, Txn
from rundlet_server.storage.outcomes.idempotency import KEY_SIZE, Idempotency


def test_only_what_is_forgotten_is_deleted(store, clock):
    for number in range(6):
        key = Idempotency(number.to_bytes(KEY_SIZE), b"", 60)
        store.commit(Txn([Add("n")], idempotency=key))
        clock.advance(10)
    clock.advance(25)

    assert store._dropping.forget() == 3
    assert store._dropping.forget() == 0
    remembered = [
        store.commit(Txn([], idempotency=Idempotency(n.to_bytes(KEY_SIZE), b"", 60))).is_replay
        for n in range(6)
    ]
    assert remembered == [False] * 3 + [True] * 3
