"""Test that a transaction with an idempotency key is done once, on every backend."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing

import pytest

from rundlet_server.storage.bounds import OUTCOME_BYTES_MAX
from rundlet_server.storage.errors import (
    Conflict,
    IdempotencyKeyReused,
    InvalidOperation,
    LimitExceeded,
)
from rundlet_server.storage.interface import (
    Add,
    Condition,
    Delete,
    Op,
    Put,
    Restore,
    Store,
    Touch,
    Txn,
)
from rundlet_server.storage.outcomes.idempotency import Idempotency
from rundlet_server.storage.outcomes.results import Commit
from rundlet_server.storage.timeline import Retention
from tests.support.backends import BACKENDS, OpenStore, do, kinds, names, needs, put, value
from tests.support.models.model import Clock

KEEP_S = 100
kept = pytest.mark.parametrize(
    "backend", [pytest.param(one, id=one.name) for one in BACKENDS if one.is_kept], indirect=True
)
"""Run a test on the stores that outlive their closing."""
NEW = [Condition("k", exists=False)]


def once(
    number: int = 1, *, request: bytes = b"request", note: bytes = b"", keep_s: int = KEEP_S
) -> Idempotency:
    return Idempotency(number.to_bytes(16), request.ljust(16, b"."), keep_s, note)


def again(commit: Commit, note: bytes = b"") -> Commit:
    """What a transaction is answered that was done before, with that answer."""
    return commit._replace(note=note)


def test_a_transaction_is_done_once(store: Store):
    txn = Txn([Add("k", 5)], idempotency=once())
    first = store.commit(txn)

    assert store.commit(txn) == again(first)
    assert value(store, "k") == b"5"
    assert first.note is None
    assert store.stats().revision == first.revision


def test_its_outcome_stays_as_it_was(store: Store):
    txn = Txn([Put("k", b"v")], idempotency=once())
    first = store.commit(txn)
    put(store, "k", b"later")
    do(store, Delete("k"))

    assert store.commit(txn) == again(first)
    assert value(store, "k") is None


def test_another_key_is_another_transaction(store: Store):
    store.commit(Txn([Add("k")], idempotency=once(1)))

    assert store.commit(Txn([Add("k")], idempotency=once(2))).note is None
    assert store.commit(Txn([Add("k")])).note is None
    assert value(store, "k") == b"3"


def test_a_key_of_another_request_is_refused(store: Store):
    store.commit(Txn([Put("k", b"one")], idempotency=once()))

    with pytest.raises(IdempotencyKeyReused):
        store.commit(Txn([Put("k", b"two")], idempotency=once(request=b"another")))
    assert value(store, "k") == b"one"


def test_conditions_are_not_judged_again(store: Store):
    txn = Txn([Put("k", b"v")], NEW, idempotency=once())
    first = store.commit(txn)

    assert store.commit(txn) == again(first)


def test_the_results_of_all_operations_come_back(store: Store):
    put(store, "deleted")
    put(store, "number", b"-3")
    put(store, "touched")
    ops: list[Op] = [
        *(Put("new", b"v"), Put("touched", b"w"), Delete("deleted"), Delete("missing")),
        *(Add("number", -1), Add("counted", 2**63 - 1)),
    ]
    first = store.commit(Txn(ops, idempotency=once(1)))
    more = [Touch("touched", 60), Restore("deleted", version=1)]
    second = store.commit(Txn(more, idempotency=once(2)))

    assert store.commit(Txn(ops, idempotency=once(1))) == again(first)
    assert store.commit(Txn(more, idempotency=once(2))) == again(second)
    assert first.results[4].number == -4


def test_what_was_done_otherwise_comes_back(store: Store):
    put(store, "k")
    txn = Txn([Put("k", b"then")], NEW, [Add("else")], idempotency=once())
    first = store.commit(txn)
    do(store, Delete("k"))

    assert store.commit(txn) == again(first)
    assert not first.succeeded
    assert (value(store, "k"), value(store, "else")) == (None, b"1")


def test_a_conflict_is_not_remembered(store: Store):
    put(store, "k")
    txn = Txn([Put("k", b"v")], NEW, idempotency=once())
    with pytest.raises(Conflict):
        store.commit(txn)
    do(store, Delete("k"))

    assert store.commit(txn).note is None
    assert value(store, "k") == b"v"


def test_an_operation_that_cannot_be_done_is_not_remembered(store: Store):
    txn = Txn([Touch("k", 5)], idempotency=once())
    with pytest.raises(InvalidOperation):
        store.commit(txn)
    put(store, "k")

    assert store.commit(txn).note is None


def test_what_changes_nothing_is_not_remembered(store: Store):
    txn = Txn([Delete("k")], idempotency=once())
    assert not store.commit(txn).results[0].found
    put(store, "k")

    assert store.commit(txn).results[0].found
    assert value(store, "k") is None


def test_nothing_to_do_asks_for_the_outcome(store: Store):
    asking = Txn([], idempotency=once())
    assert store.commit(asking).note is None
    first = store.commit(Txn([Put("k", b"v")], idempotency=once(note=b"noted")))

    assert store.commit(asking) == again(first, b"noted")


def test_the_note_of_the_first_comes_back(store: Store):
    first = store.commit(Txn([Put("k", b"v")], idempotency=once(note=b"first")))
    second = store.commit(Txn([Put("k", b"v")], idempotency=once(note=b"second")))

    assert second == again(first, b"first")


def test_an_outcome_is_forgotten_after_its_time(store: Store, clock: Clock):
    txn = Txn([Add("k")], idempotency=once())
    store.commit(txn)
    clock.advance(KEEP_S - 1)
    assert store.commit(txn).note is not None
    clock.advance(2)

    assert store.commit(txn).note is None
    assert store.commit(txn).note is not None
    assert value(store, "k") == b"2"


def test_a_forgotten_key_serves_another_request(store: Store, clock: Clock):
    store.commit(Txn([Put("k", b"one")], idempotency=once()))
    clock.advance(KEEP_S + 1)
    txn = Txn([Put("k", b"two")], idempotency=once(request=b"another"))
    first = store.commit(txn)

    assert first.note is None
    assert store.commit(txn) == again(first)


def test_an_expiry_that_comes_before_changes_nothing(store: Store, clock: Clock):
    put(store, "k", ttl_s=5.0)
    clock.advance(10)
    txn = Txn([Put("k", b"v")], NEW, idempotency=once())
    first = store.commit(txn)

    assert store.commit(txn) == again(first)
    assert kinds(store, "k") == ["put", "expire", "put"]


def test_no_read_shows_an_outcome(store: Store):
    put(store, "a")
    before = store.stats()
    for number in range(20):
        store.commit(Txn([Put("k", b"v"), Delete("a")], idempotency=once(number * 2**120)))
    last = store.commit(Txn([Put("z", b"v")], idempotency=once(3)))

    stats = store.stats()
    assert (stats.key_count, stats.value_bytes) == (2, 2)
    assert stats.revision == before.revision + 21 or stats.revision == last.revision
    for reverse in (False, True):
        assert sorted(names(store.scan(reverse=reverse, include_values=True))) == ["k", "z"]
    assert names(store.scan(delimiter="/", at=last.revision)) == ["k", "z"]
    assert store.count() == store.count(at=last.revision) == 2
    assert store.count(start="k") == 2


def test_the_feed_and_the_history_do_not_show_it(store: Store):
    since = store.stats().revision
    store.commit(Txn([Put("a", b"v"), Put("k", b"v")], idempotency=once()))
    put(store, "k", b"w")

    events = store.changes(since, include_values=True).events
    assert [(e.key, e.kind, e.is_last) for e in events] == [
        ("a", "put", False),
        ("k", "put", True),
        ("k", "put", True),
    ]
    assert kinds(store, "k") == ["put", "put"]


def test_threads_with_one_key_do_it_once(store: Store):
    txn = Txn([Add("k")], NEW, idempotency=once())

    with ThreadPoolExecutor(8) as pool:
        commits = list(pool.map(lambda _: store.commit(txn), range(8)))

    assert value(store, "k") == b"1"
    assert sum(commit.note is None for commit in commits) == 1
    assert len({commit._replace(note=None) for commit in commits}) == 1


def test_too_large_an_outcome_is_refused(store: Store):
    note = bytes(OUTCOME_BYTES_MAX)

    with pytest.raises(LimitExceeded, match="outcome_bytes_max"):
        store.commit(Txn([Put("k", b"v")], idempotency=once(note=note)))
    assert value(store, "k") is None
    assert put(store, "k").results[0].version == 1


@pytest.fixture
def stores(open_backend: OpenStore) -> Iterator[list[Store]]:
    """The same store, opened twice."""
    with ExitStack() as stack:
        yield [stack.enter_context(closing(open_backend())) for _ in range(2)]


@kept
def test_another_process_knows_the_outcome(stores: list[Store]):
    txn = Txn([Add("k")], idempotency=once())
    first = stores[0].commit(txn)

    assert stores[1].commit(txn) == again(first)


@kept
def test_processes_with_one_key_do_it_once(stores: list[Store]):
    for number in range(10):
        txn = Txn([Add("k"), Put(f"new/{number}", b"")], new(number), idempotency=once(number))
        barrier = threading.Barrier(4)

        def commit(place: int, txn: Txn = txn, barrier: threading.Barrier = barrier) -> Commit:
            barrier.wait()
            return stores[place % 2].commit(txn)

        with ThreadPoolExecutor(4) as pool:
            commits = list(pool.map(commit, range(4)))
        assert sum(each.note is None for each in commits) == 1
        assert len({each._replace(note=None) for each in commits}) == 1
    assert value(stores[0], "k") == b"10"


def new(number: int) -> list[Condition]:
    return [Condition(f"new/{number}", exists=False)]


@kept
def test_it_outlives_a_restart(open_backend: OpenStore, clock: Clock):
    txn = Txn([Add("k")], idempotency=once())
    with closing(open_backend()) as store:
        first = store.commit(txn)

    with closing(open_backend()) as store:
        assert store.commit(txn) == again(first)
        clock.advance(KEEP_S + 1)
        assert store.commit(txn).note is None


@needs("compaction")
def test_it_outlives_a_compaction(store: Store, clock: Clock):
    txn = Txn([Put("k", b"v"), Delete("a")], idempotency=once())
    first = store.commit(txn)
    do(store, Delete("k"))
    for number in range(5):
        clock.advance(1)
        put(store, f"more/{number}")
    store.retain(Retention(store.retention().keep_versions, 0.5))
    clock.advance(10)
    put(store, "last")
    store.compact(wait=True)
    store.compact(wait=True)

    assert store.commit(txn) == again(first)
    assert store.stats().key_count == 6
