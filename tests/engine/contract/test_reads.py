"""Reading the newest values of a store, one and many."""

from __future__ import annotations

import pytest

from rundlet_server.storage.errors import InvalidKey, LimitExceeded
from rundlet_server.storage.interface import (
    DEFAULT_CONTENT_TYPE,
    Condition,
    Page,
    Txn,
)
from rundlet_server.storage.outcomes.results import Commit, OpResult
from tests.support.backends import LIMITS, names, put, value
from tests.support.models.model import START_US


def test_an_empty_store_is_at_revision_0_and_holds_nothing(store):
    stats = store.stats()

    assert (stats.revision, stats.key_count, stats.value_bytes) == (0, 0, 0)
    assert store.get("a") is None
    assert store.get_many(["a", "b"]).entries == [None, None]
    assert store.scan() == Page(store.scan().moment, [], [], None)
    assert store.count() == 0
    assert store.history("a").versions == []


def test_info_tells_the_limits_and_an_id(store):
    assert store.info.limits == LIMITS
    assert store.info.store_id
    assert store.info.read_only is False


def test_a_store_that_works_has_no_problem(store):
    assert store.health().reasons == []


def test_a_value_is_got_as_it_was_put(store, clock):
    commit = put(store, "a", b"\0\xff", content_type="image/png")
    entry = store.get("a")

    assert commit == Commit(True, 1, (OpResult(found=False, version=1),))
    assert entry == ("a", b"\0\xff", 1, 1, START_US, "image/png", None, ())


def test_an_empty_value_is_a_value(store):
    put(store, "a", b"")

    assert value(store, "a") == b""
    assert store.stats().key_count == 1


@pytest.mark.parametrize(
    "key", [" ", "\0", "a\0", "a/../b", "ключ", "\U0001f600", "\uffff", "é", "e\u0301", "%2F"]
)
def test_any_text_is_a_key(store, key):
    put(store, key, key.encode())
    put(store, key + "x", b"other")

    assert value(store, key) == key.encode()
    assert names(store.scan(end=key + "x")) == [key]


def test_every_write_is_a_new_version_at_a_higher_revision(store):
    revisions = [put(store, "a", b"%d" % number).revision for number in range(5)]

    assert revisions == [1, 2, 3, 4, 5]
    assert store.get("a")[2:4] == (5, 5)


def test_the_same_value_again_is_a_write_too(store):
    put(store, "a", b"same")

    assert put(store, "a", b"same").results == (OpResult(found=True, version=2),)


def test_a_put_without_content_type_is_octets(store):
    put(store, "a")

    assert store.get("a").content_type == DEFAULT_CONTENT_TYPE


@pytest.mark.parametrize("key", ["", "\ud800", "a\udfff"])
def test_what_cannot_be_encoded_is_no_key(store, key):
    with pytest.raises(InvalidKey):
        put(store, key)
    with pytest.raises(InvalidKey):
        store.get(key)
    with pytest.raises(InvalidKey):
        store.get_many(["a", key])
    with pytest.raises(InvalidKey):
        store.history(key)
    with pytest.raises(InvalidKey):
        store.commit(Txn([], [Condition(key, exists=True)]))
    assert store.stats().revision == 0


def test_a_key_may_have_just_as_many_bytes_as_the_limit(store):
    put(store, "é" * 16)

    with pytest.raises(LimitExceeded) as caught:
        put(store, "é" * 16 + "x")
    assert (caught.value.what, caught.value.limit, caught.value.got) == ("key_bytes_max", 32, 33)


def test_a_value_may_have_just_as_many_bytes_as_the_limit(store):
    put(store, "a", bytes(100))

    with pytest.raises(LimitExceeded) as caught:
        put(store, "a", bytes(101))
    assert (caught.value.what, caught.value.limit, caught.value.got) == (
        "value_bytes_max",
        100,
        101,
    )


def test_get_many_answers_in_the_order_asked_from_one_revision(store):
    put(store, "a", b"1")
    put(store, "b", b"2")
    snapshot = store.get_many(["b", "none", "a", "b"])

    assert snapshot.revision == 2
    assert [entry and entry.value for entry in snapshot.entries] == [b"2", None, b"1", b"2"]


def test_values_that_are_too_large_for_one_answer_are_refused(store):
    for number in range(10):
        put(store, f"k{number}", b"x" * 100)
    keys = [f"k{number}" for number in range(10)]

    with pytest.raises(LimitExceeded) as caught:
        store.get_many(keys)
    assert (caught.value.what, caught.value.limit, caught.value.got) == (
        *("answer_bytes_max", LIMITS.answer_bytes_max),
        1_020,
    )
    assert len(store.get_many(keys[:9]).entries) == 9


def test_a_repeated_key_counts_as_often_as_it_is_named(store):
    put(store, "a", b"x" * 100)
    entry = store.get("a")

    assert store.get_many(["a", "b", *["a"] * 8]).entries == [entry, None, *[entry] * 8]
    with pytest.raises(LimitExceeded, match="answer_bytes_max is 1000, got 1010"):
        store.get_many(["a"] * 10)
