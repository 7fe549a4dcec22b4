"""Values with a time to live: gone for every read, and for good."""

from __future__ import annotations

import pytest

from rundlet_server.storage.errors import InvalidOperation
from rundlet_server.storage.interface import (
    Add,
    Commit,
    Condition,
    Delete,
    OpResult,
    Put,
    Touch,
    Txn,
)
from tests.support.backends import do, kinds, names, put, value
from tests.support.models.model import START_US

SECOND_US = 1_000_000


def test_an_expired_value_is_seen_by_no_read(store, clock):
    put(store, "a", b"v", ttl_s=1)
    put(store, "b", b"keeps")
    clock.advance(0.999999)
    assert value(store, "a") == b"v"
    clock.advance(0.000001)

    assert store.get("a") is None
    assert store.get("a", at=1) is None
    assert store.get("a", at=2) is None
    assert store.get_many(["a"], at=1).entries == [None]
    assert names(store.scan()) == ["b"]
    assert names(store.scan(at=1)) == []
    assert store.count() == 1
    assert store.count(at=1) == 0
    assert store.count(prefix="a") == 0
    stats = store.stats()
    assert (stats.revision, stats.key_count, stats.value_bytes) == (2, 1, 5)


def test_expiry_uncovers_no_older_version(store, clock):
    put(store, "a", b"old")
    put(store, "a", b"new", ttl_s=1)
    clock.advance(2)

    assert store.get("a") is None
    assert value(store, "a", at=1) == b"old"
    assert store.get("a", at=2) is None


def test_expired_stays_expired_when_the_clock_goes_back(store, clock):
    put(store, "a", b"v", ttl_s=1)
    clock.advance(2)
    assert store.get("a") is None
    clock.advance(-100)

    assert store.get("a") is None
    assert store.count() == 0
    assert put(store, "b").revision == 2
    assert store.get("b").time_us == START_US + 2 * SECOND_US


def test_writing_over_an_expired_value_logs_its_expiry_before(store, clock):
    put(store, "a", b"v", ttl_s=1)
    clock.advance(1)
    commit = put(store, "a", b"w")

    assert commit == Commit(True, 3, (OpResult(found=False, version=1),))
    assert [version[:3] for version in store.history("a")] == [
        (3, 1, "put"),
        (2, 0, "expire"),
        (1, 1, "put"),
    ]


def test_expiries_before_a_transaction_share_one_revision(store, clock):
    do(store, Put("a", b"", ttl_s=1), Put("b", b"", ttl_s=1))
    clock.advance(1)

    assert do(store, Put("a", b""), Put("b", b"")).revision == 3
    assert kinds(store, "a") == kinds(store, "b") == ["put", "expire", "put"]


def test_an_expired_key_counts_as_missing(store, clock):
    put(store, "a", b"5", ttl_s=1)
    put(store, "b", b"5", ttl_s=1)
    clock.advance(1)

    store.commit(Txn([], [Condition("a", exists=False, version=0, revisions=(0,))]))
    with pytest.raises(InvalidOperation):
        do(store, Touch("a", 1))
    assert do(store, Add("b", 1)).results == (OpResult(False, 1, 1),)
    assert store.get("b").expires_us is None


def test_what_has_expired_ends_whatever_becomes_of_the_operation_on_it(store, clock):
    put(store, "a", b"x", ttl_s=1)
    put(store, "b", b"x", ttl_s=1)
    clock.advance(1)

    assert do(store, Delete("a")) == Commit(True, 3, (OpResult(found=False, version=0),))
    with pytest.raises(InvalidOperation):
        do(store, Touch("b", 1))
    assert kinds(store, "a") == kinds(store, "b") == ["expire", "put"]
    assert do(store, Delete("a")).revision == store.stats().revision == 4


@pytest.mark.parametrize("ttl_s", [0, -1, float("nan"), float("inf"), 1e12])
def test_a_time_to_live_is_above_0_and_bounded(store, ttl_s):
    with pytest.raises(InvalidOperation):
        put(store, "a", ttl_s=ttl_s)
    assert store.stats().revision == 0


def test_the_smallest_time_to_live_is_a_microsecond(store, clock):
    put(store, "a", ttl_s=1e-9)

    assert store.get("a").expires_us == START_US + 1
    clock.advance(0.000001)
    assert store.get("a") is None
