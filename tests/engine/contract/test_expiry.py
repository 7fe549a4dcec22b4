"""Values with a time to live: gone for every read, and for good."""

from __future__ import annotations

import pytest

from rundlet_server.storage.errors import InvalidOperation
from rundlet_server.storage.interface import (
    Add,
    Condition,
    Delete,
    Put,
    Touch,
    Txn,
)
from rundlet_server.storage.outcomes.results import Commit, OpResult
from rundlet_server.storage.timeline import Moment
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
    assert store.get_many(["a"]).entries == [None]
    assert names(store.scan()) == ["b"]
    assert store.count() == 1
    assert store.count(prefix="a") == 0
    stats = store.stats()
    assert (stats.revision, stats.key_count, stats.value_bytes) == (2, 1, 5)


def test_a_time_of_expiry_is_kept_to_the_microsecond(store, clock):
    expires_us = START_US + 5 * SECOND_US + 1

    store.commit(Txn([Put("a", b"v", expires_us=expires_us)]))

    assert store.get("a").expires_us == expires_us
    clock.advance(5)
    assert value(store, "a") == b"v"
    clock.advance(0.000001)
    assert store.get("a") is None


def test_a_value_whose_time_is_over_is_absent_at_once_and_replaces_the_one_before(store, clock):
    put(store, "a", b"old")
    clock.advance(1)

    store.commit(Txn([Put("a", b"v", expires_us=START_US + SECOND_US)]))

    assert store.get("a") is None
    assert names(store.scan()) == []
    assert (store.count(), store.stats().key_count) == (0, 0)
    put(store, "a", b"new")
    assert (value(store, "a"), store.get("a").version) == (b"new", 1)


@pytest.mark.parametrize(
    "put_",
    [
        Put("a", b"v", ttl_s=1, expires_us=START_US + SECOND_US),
        Put("a", b"v", expires_us=0),
        Put("a", b"v", expires_us=-1),
        Put("a", b"v", expires_us=253_402_300_800_000_000),
    ],
)
def test_a_time_of_expiry_that_is_none_is_refused(store, put_):
    with pytest.raises(InvalidOperation):
        store.commit(Txn([put_]))

    assert store.get("a") is None


def test_expiry_uncovers_no_older_version(store, clock):
    put(store, "a", b"old")
    put(store, "a", b"new", ttl_s=1)
    clock.advance(2)

    assert store.get("a") is None
    assert value(store, "a", at=1) == b"old"
    assert store.get("a", at=store.scan().moment) is None


def test_a_value_that_expired_since_is_seen_at_the_revisions_before(store, clock):
    put(store, "a", b"v", ttl_s=1)
    put(store, "b", b"keeps")
    clock.advance(1)
    put(store, "b", b"later")

    for revision, expected in ((1, {"a": b"v"}), (2, {"a": b"v", "b": b"keeps"})):
        assert seen(store, revision) == expected
    assert seen(store, 3) == {"b": b"later"}  # its expiry is not in the log, and its time is


def test_the_time_of_a_moment_decides_what_has_expired(store, clock):
    put(store, "a", b"v", ttl_s=1)
    put(store, "b", b"w", ttl_s=2)
    clock.advance(5)

    assert seen(store, Moment(2, START_US + SECOND_US - 1)) == {"a": b"v", "b": b"w"}
    assert seen(store, Moment(2, START_US + SECOND_US)) == {"b": b"w"}
    assert seen(store, store.moment(START_US + 2 * SECOND_US - 1)) == {"b": b"w"}
    assert seen(store, store.moment(START_US + 2 * SECOND_US)) == {}


def seen(store, at):
    """Everything at a moment, by each read; all of them must agree."""
    keys = ("a", "b")
    found = {key: entry.value for key in keys if (entry := store.get(key, at=at))}
    peeked = {key: entry.value for key in keys if (entry := store.peek(key, at=at))}
    many = store.get_many(keys, at=at).entries
    page = store.scan(at=at, include_values=True)
    assert found == {entry.key: entry.value for entry in many if entry}
    assert found == {info.key: info.entry.value for info in page.keys}
    assert found == peeked
    assert store.count(at=at) == len(found)
    return found


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
    assert [version[:3] for version in store.history("a").versions] == [
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
