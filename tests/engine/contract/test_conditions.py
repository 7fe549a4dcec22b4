"""Conditions of a transaction: which hold, and what becomes of it."""

from __future__ import annotations

import pytest

from rundlet_server.storage.errors import Conflict, FailedCondition
from rundlet_server.storage.interface import Condition, Delete, Put, Txn
from rundlet_server.storage.outcomes.results import Commit
from tests.support.backends import do, put


@pytest.mark.parametrize(
    ("condition", "holds"),
    [
        (Condition("a", exists=True), True),
        (Condition("a", exists=False), False),
        (Condition("a", version=2), True),
        (Condition("a", version=1), False),
        (Condition("a", version=0), False),
        (Condition("a", revisions=(2,)), True),
        (Condition("a", revisions=(1, 2, 3)), True),
        (Condition("a", revisions=(1, 3)), False),
        (Condition("a", revisions=(0,)), False),
        (Condition("a", revisions=()), False),
        (Condition("a", not_revisions=(2,)), False),
        (Condition("a", not_revisions=(0, 1)), True),
        (Condition("a", not_revisions=()), True),
        (Condition("a", exists=True, version=2, revisions=(2,), not_revisions=(1,)), True),
        (Condition("a", exists=True, version=2, revisions=(1,)), False),
        (Condition("a"), True),
        (Condition("none", exists=False), True),
        (Condition("none", exists=True), False),
        (Condition("none", version=0), True),
        (Condition("none", revisions=(0,)), True),
        (Condition("none", not_revisions=(0,)), False),
        (Condition("none"), True),
    ],
)
def test_a_condition_holds_or_not(store, condition, holds):
    put(store, "a")
    put(store, "a")

    commit = store.commit(Txn([Put("then", b"")], [condition], [Put("else", b"")]))

    assert commit.succeeded is holds
    assert (store.get("then") is not None, store.get("else") is not None) == (holds, not holds)


def test_all_conditions_that_failed_are_named(store):
    put(store, "a")

    with pytest.raises(Conflict) as caught:
        store.commit(
            Txn(
                [Put("x", b"")],
                [
                    Condition("a", exists=False),
                    Condition("a", exists=True),
                    Condition("b", exists=True),
                ],
            )
        )
    assert caught.value.failed == (FailedCondition(0, "a", 1), FailedCondition(2, "b", 0))
    assert store.get("x") is None


def test_an_empty_otherwise_is_no_conflict(store):
    commit = store.commit(Txn([Put("x", b"")], [Condition("x", exists=True)], []))

    assert commit == Commit(False, 0, ())


def test_conditions_are_of_the_state_before_the_transaction(store):
    commit = store.commit(Txn([Put("a", b"1")], [Condition("a", exists=False)]))

    assert commit.succeeded


def test_a_deleted_key_has_version_and_revision_0_in_conditions(store):
    put(store, "a")
    do(store, Delete("a"))

    with pytest.raises(Conflict) as caught:
        store.commit(Txn([], [Condition("a", revisions=(1, 2))]))
    assert caught.value.failed == (FailedCondition(0, "a", 0),)
    store.commit(Txn([Put("a", b"")], [Condition("a", version=0, revisions=(0,))]))
