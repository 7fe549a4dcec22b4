"""What transactions write: put, delete, add, touch, restore, all or none."""

from __future__ import annotations

import pytest

from rundlet_server.storage.errors import InvalidOperation, LimitExceeded
from rundlet_server.storage.interface import (
    TEXT_CONTENT_TYPE,
    Add,
    Delete,
    Put,
    Restore,
    Touch,
    Txn,
)
from rundlet_server.storage.outcomes.results import Commit, OpResult
from tests.support.backends import do, kinds, names, put, value
from tests.support.models.model import START_US

SECOND_US = 1_000_000


def test_a_deleted_key_is_gone(store):
    put(store, "a")
    commit = do(store, Delete("a"))

    assert commit == Commit(True, 2, (OpResult(found=True, version=0),))
    assert store.get("a") is None
    assert names(store.scan()) == []
    assert store.stats().key_count == 0


def test_deleting_a_missing_key_changes_nothing(store):
    put(store, "b")
    commit = do(store, Delete("a"))

    assert commit == Commit(True, 1, (OpResult(found=False, version=0),))
    assert store.history("a").versions == []


def test_versions_begin_again_after_a_delete(store):
    put(store, "a")
    put(store, "a")
    do(store, Delete("a"))

    assert put(store, "a").results == (OpResult(found=False, version=1),)


def test_a_transaction_writes_all_at_one_revision(store):
    put(store, "b")
    commit = do(store, Put("a", b"1"), Delete("b"), Put("c", b"3"))

    assert commit.revision == 2
    assert commit.results == (OpResult(False, 1), OpResult(True, 0), OpResult(False, 1))
    assert [entry and entry.revision for entry in store.get_many(["a", "b", "c"]).entries] == [
        2,
        None,
        2,
    ]


def test_an_empty_transaction_reports_the_head(store):
    assert do(store) == Commit(True, 0, ())
    put(store, "a")
    assert do(store) == Commit(True, 1, ())


def test_a_transaction_of_which_one_operation_changes_nothing_writes_the_rest(store):
    commit = do(store, Delete("missing"), Put("a", b"1"))

    assert commit == Commit(True, 1, (OpResult(False, 0), OpResult(False, 1)))


def test_a_key_stands_once_among_the_writes(store):
    with pytest.raises(InvalidOperation) as caught:
        do(store, Put("a", b"1"), Put("b", b"2"), Delete("a"))

    assert caught.value.index == 2
    assert store.stats().revision == 0


def test_otherwise_is_checked_although_it_may_not_be_done(store):
    with pytest.raises(LimitExceeded):
        store.commit(Txn([], (), [Put("a", bytes(101))]))


def test_an_operation_that_cannot_be_done_undoes_its_transaction(store):
    put(store, "text", b"not a number")

    with pytest.raises(InvalidOperation) as caught:
        do(store, Put("a", b"1"), Add("text", 1))
    assert caught.value.index == 1
    assert store.get("a") is None
    assert store.stats().revision == 1


def test_a_transaction_has_limits_of_operations_and_bytes(store):
    do(store, *(Put(f"k{number}", b"") for number in range(8)))

    with pytest.raises(LimitExceeded) as caught:
        do(store, *(Put(f"k{number}", b"") for number in range(9)))
    assert caught.value.what == "txn_ops_max"
    with pytest.raises(LimitExceeded) as caught:
        do(store, Put("a", bytes(80)), Put("b", bytes(80)))
    assert caught.value.what == "txn_bytes_max"


def test_values_that_are_written_once_more_count_like_those_put(store):
    put(store, "a", bytes(100))
    put(store, "b", bytes(100))

    with pytest.raises(LimitExceeded) as caught:
        do(store, Touch("a", 5), Touch("b", 5))
    assert (caught.value.what, caught.value.got) == ("txn_bytes_max", 200)
    with pytest.raises(LimitExceeded):
        do(store, Touch("a", 5), Restore("b", 1))
    assert do(store, Touch("a", 5)).revision == 3


def test_adding_to_a_missing_key_counts_from_0(store):
    commit = do(store, Add("n", -3))

    assert commit.results == (OpResult(False, 1, -3),)
    assert store.get("n")[1] == b"-3"
    assert store.get("n").content_type == TEXT_CONTENT_TYPE


def test_adding_keeps_type_and_expiry(store, clock):
    put(store, "n", b"40", content_type="text/plain", ttl_s=10)
    clock.advance(1)

    assert do(store, Add("n", 2)).results == (OpResult(True, 2, 42),)
    entry = store.get("n")
    assert (entry.value, entry.content_type) == (b"42", "text/plain")
    assert entry.expires_us == START_US + 10 * SECOND_US


@pytest.mark.parametrize(
    "text", [b"", b"x", b"1.5", b"1e3", b" 1", b"1 ", b"-", b"0x1", b"\xff", b"--1"]
)
def test_only_decimal_text_is_added_to(store, text):
    put(store, "n", text)

    with pytest.raises(InvalidOperation) as caught:
        do(store, Add("n", 1))
    assert caught.value.index == 0
    assert store.stats().revision == 1


def test_touching_changes_the_expiry_and_nothing_else(store, clock):
    put(store, "a", b"v", content_type="text/css")
    clock.advance(1)
    commit = do(store, Touch("a", 5.5))
    entry = store.get("a")

    assert commit.results == (OpResult(True, 2),)
    assert (entry.value, entry.content_type) == (b"v", "text/css")
    assert entry.expires_us == START_US + 6_500_000
    do(store, Touch("a"))
    assert store.get("a").expires_us is None


def test_touching_a_missing_key_is_refused(store):
    with pytest.raises(InvalidOperation) as caught:
        do(store, Put("b", b""), Touch("a", 1))
    assert caught.value.index == 1


def test_restoring_writes_an_earlier_version_again(store):
    put(store, "a", b"one", content_type="text/css")
    put(store, "a", b"two", ttl_s=100)
    commit = do(store, Restore("a", 1))

    assert commit.results == (OpResult(True, 3),)
    assert store.get("a")[:4] == ("a", b"one", 3, 3)
    assert store.get("a").content_type == "text/css"
    assert store.get("a").expires_us is None
    assert kinds(store, "a") == ["restore", "put", "put"]


def test_restoring_brings_a_deleted_key_back(store):
    put(store, "a", b"one")
    put(store, "a", b"two")
    do(store, Delete("a"))

    assert do(store, Restore("a", 2)).results == (OpResult(False, 1),)
    assert value(store, "a") == b"two"


def test_restoring_takes_the_newest_of_that_version(store):
    put(store, "a", b"old")
    do(store, Delete("a"))
    put(store, "a", b"new")
    put(store, "a", b"newer")

    do(store, Restore("a", 1))
    assert value(store, "a") == b"new"


@pytest.mark.parametrize("version", [0, 2, 99])
def test_restoring_a_version_that_is_not_there_is_refused(store, version):
    put(store, "a")

    with pytest.raises(InvalidOperation):
        do(store, Restore("a", version))
    with pytest.raises(InvalidOperation):
        do(store, Restore("b", 1))


def test_restoring_brings_back_what_has_expired_or_expires(store, clock):
    put(store, "a", b"one", ttl_s=1)
    put(store, "b", b"two", ttl_s=100)
    clock.advance(1)

    commit = do(store, Restore("a", 1), Restore("b", 1))

    assert commit.results == (OpResult(False, 1), OpResult(True, 2))
    assert (value(store, "a"), value(store, "b")) == (b"one", b"two")
    assert store.get("a").expires_us is store.get("b").expires_us is None
    assert kinds(store, "a") == ["restore", "expire", "put"]


def test_a_restored_value_expires_if_it_is_given_a_time_to_live(store, clock):
    put(store, "a", b"one")
    do(store, Restore("a", 1, ttl_s=1))
    assert store.get("a").expires_us == clock.now_us + 1_000_000
    clock.advance(1)

    assert store.get("a") is None


def test_a_version_counts_within_the_newest_life(store):
    put(store, "a", b"old 1")
    put(store, "a", b"old 2")
    do(store, Delete("a"))
    assert do(store, Restore("a", 2)).results == (OpResult(False, 1),)

    assert store.get_version("a", 1).value == b"old 2"
    assert store.get_version("a", 2) is None
    with pytest.raises(InvalidOperation):
        do(store, Restore("a", 2))


def test_a_version_of_a_deleted_key_is_of_the_life_that_ended(store):
    put(store, "a", b"old")
    do(store, Delete("a"))
    put(store, "a", b"new 1", content_type="text/css")
    put(store, "a", b"new 2")
    do(store, Delete("a"))

    assert store.get_version("a", 1) == ("a", b"new 1", 3, 1, START_US, "text/css", None, ())
    assert store.get_version("a", 2).value == b"new 2"
    assert [store.get_version("a", version) for version in (-1, 0, 3)] == [None] * 3
    assert store.get_version("missing", 1) is None


def test_restoring_a_revision_reaches_every_life(store, clock):
    put(store, "a", b"1")
    put(store, "a", b"2", ttl_s=5)
    do(store, Delete("a"))
    clock.advance(1)
    put(store, "a", b"4", ttl_s=1)
    clock.advance(1)
    put(store, "b")  # by now the value of "a" had expired
    revision = store.stats().revision
    expected = {1: b"1", 2: b"2", 3: None, 4: b"4", revision: None}

    for at, expected_value in expected.items():
        if expected_value is None:
            with pytest.raises(InvalidOperation):
                do(store, Restore("a", revision=at))
        else:
            do(store, Restore("a", revision=at))
            assert value(store, "a") == expected_value == value(store, "a", at=at)


def test_restoring_a_revision_before_the_key_or_after_the_head_is_refused(store):
    put(store, "b")
    put(store, "a")

    for op in (Restore("a", revision=1), Restore("a", revision=3), Restore("c", revision=2)):
        with pytest.raises(InvalidOperation):
            do(store, op)


@pytest.mark.parametrize("op", [Restore("a"), Restore("a", 1, 1)])
def test_restoring_takes_a_version_or_a_revision(store, op):
    put(store, "a")

    with pytest.raises(InvalidOperation):
        do(store, op)


def test_restores_of_one_transaction_see_what_was_there_before_it(store):
    put(store, "a", b"1")
    put(store, "b", b"1")
    do(store, Put("a", b"2"), Put("b", b"2"))

    do(store, Restore("a", revision=2), Restore("b", revision=2))

    assert (value(store, "a"), value(store, "b")) == (b"1", b"1")
