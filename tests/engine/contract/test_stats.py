"""Counts of the whole store are exact."""

from __future__ import annotations

from rundlet_server.storage.interface import Add, Delete, Restore, Touch
from tests.support.backends import do, put


def test_counts_are_exact_through_every_kind_of_write(store, clock):
    def counts() -> tuple[int, int]:
        stats = store.stats()
        assert stats.key_count == store.count() == store.count(start="\0")
        return stats.key_count, stats.value_bytes

    put(store, "a", b"12")
    put(store, "b", b"345", ttl_s=1)
    assert counts() == (2, 5)
    put(store, "a", b"1")
    assert counts() == (2, 4)
    clock.advance(1)
    assert counts() == (1, 1)
    put(store, "b", b"67")
    assert counts() == (2, 3)
    do(store, Delete("a"), Add("n", 100))
    assert counts() == (2, 5)
    do(store, Touch("n", 5))
    assert counts() == (2, 5)
    clock.advance(5)
    assert counts() == (1, 2)
    do(store, Restore("b", 1))
    assert counts() == (1, 2)
