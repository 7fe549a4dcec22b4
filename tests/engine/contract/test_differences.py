"""Differences between two moments, and rollbacks, are those of the states themselves."""

from __future__ import annotations

import random

import pytest

from rundlet_server.storage.errors import Compacted, Conflict, InvalidRequest, LimitExceeded
from rundlet_server.storage.interface import Add, Delete, Store, Touch, Txn
from rundlet_server.storage.outcomes.results import Commit
from rundlet_server.storage.past import differences as module
from rundlet_server.storage.past.differences import Difference, differences, moment_of, state_of
from rundlet_server.storage.past.rollback import Scope, roll_back
from rundlet_server.storage.timeline import At, Moment
from tests.support.backends import do, names, needs, put, value
from tests.support.models.model import START_US, Clock, ModelStore

SECOND_US = 1_000_000


def diff(store: Store, before: At | None, after: At | None = None, **options):
    """All differences, page by page, as key and change."""
    first, last = moment_of(store, before), moment_of(store, after)
    found: list[Difference] = []
    resume = None
    while True:
        page = differences(store, first, last, resume=resume, **options)
        found += page.found
        resume = page.resume
        if resume is None:
            return [(difference.key, difference.change) for difference in found]


@needs("erase")
def test_an_erased_key_is_in_no_difference_and_no_rollback_brings_it_back(store):
    put(store, "a", b"1")
    put(store, "b", b"1")
    do(store, Delete("a"))
    store.erase("a")
    put(store, "b", b"2")

    assert diff(store, 2) == [("b", "changed")]
    assert diff(store, 4, 1) == [("b", "removed")]
    roll_back(store, moment_of(store, 2), Scope())
    assert (value(store, "a"), value(store, "b")) == (None, b"1")


def states(store: Store, at: Moment) -> dict[str, object]:
    return {name: state_of(store, name, at) for name in names(store.scan(at=at, limit=100))}


def expected(store: Store, before: Moment, after: Moment) -> list[Difference]:
    """The differences by looking at all keys at both moments."""
    old, new = states(store, before), states(store, after)
    keys = sorted({*old, *new}, key=str.encode)
    return [
        Difference(key, old.get(key), new.get(key)) for key in keys if old.get(key) != new.get(key)
    ]


def test_keys_are_added_changed_and_removed(store):
    put(store, "same")
    put(store, "changed", b"1")
    put(store, "removed")
    put(store, "rewritten", b"1")
    before = store.stats().revision
    put(store, "changed", b"2")
    put(store, "added")
    put(store, "rewritten", b"1")
    do(store, Delete("removed"))
    put(store, "passing")
    do(store, Delete("passing"))

    assert diff(store, before) == [
        ("added", "added"),
        ("changed", "changed"),
        ("removed", "removed"),
        ("rewritten", "changed"),
    ]
    assert diff(store, store.stats().revision, before) == [
        ("added", "removed"),
        ("changed", "changed"),
        ("removed", "added"),
        ("rewritten", "changed"),
    ]
    assert diff(store, before, prefix="re") == [("removed", "removed"), ("rewritten", "changed")]
    assert diff(store, before, before) == []


def test_difference_tells_both_states(store, clock):
    put(store, "a", b"1", content_type="text/css")
    clock.advance(1)
    put(store, "a", b"22", ttl_s=5)

    found = differences(store, moment_of(store, 1), moment_of(store)).found

    later_us = START_US + SECOND_US
    assert found[0].before == (1, 1, START_US, 1, "text/css", None, ())
    assert found[0].after is not None
    assert found[0].after[:4] == (2, 2, later_us, 2)
    assert found[0].after.expires_us == later_us + 5 * SECOND_US


def test_value_that_expired_between_is_removed_whether_that_is_logged_or_not(store, clock):
    put(store, "logged", ttl_s=1)
    put(store, "not logged", ttl_s=1)
    before = store.stats().revision
    clock.advance(2)
    put(store, "logged")
    do(store, Delete("logged"))
    put(store, "other")
    after = store.stats().revision
    clock.advance(5)
    put(store, "not logged")

    removed = [("logged", "removed"), ("not logged", "removed"), ("other", "added")]
    assert diff(store, before, after) == removed
    assert diff(store, before, store.moment(START_US + SECOND_US // 2)) == []
    at_expiry = store.moment(START_US + SECOND_US)
    assert diff(store, before, at_expiry) == removed[:2]
    assert diff(store, at_expiry, before) == [("logged", "added"), ("not logged", "added")]


def test_pages_are_in_order_and_begin_where_the_last_one_ended(store, monkeypatch):
    monkeypatch.setattr(module, "_CANDIDATES_MIN", 3)
    monkeypatch.setattr(module, "_EVENTS", 2)
    keys = [f"k{number:02}" for number in range(20)]
    for key in reversed(keys):
        put(store, key)
    for key in keys[:10]:
        do(store, Delete(key))

    for limit in (1, 2, 5, 100):
        assert diff(store, 0, limit=limit) == [(key, "added") for key in keys[10:]]


def test_moments_that_cannot_be_read_are_refused(store):
    put(store, "a")

    with pytest.raises(InvalidRequest):
        diff(store, 2)
    with pytest.raises(InvalidRequest):
        diff(store, 0, 2)


def test_differences_are_those_of_all_states(store, clock, monkeypatch):
    monkeypatch.setattr(module, "_CANDIDATES_MIN", 2)
    chance = random.Random(7)
    keys = ["a", "b", "b/1", "b/2", "é", "😀"]
    moments = [moment_of(store)]
    for _ in range(60):
        key = chance.choice(keys)
        version = 1 if state_of(store, key, moment_of(store)) else None
        ops = [
            *(Delete(key), Add(f"{key}n")),
            *((Touch(key, chance.choice([None, 2])),) if version else ()),
        ]
        if chance.random() < 0.5:
            put(store, key, b"v", ttl_s=chance.choice([None, 1, 3, 9]))
        else:
            do(store, chance.choice(ops))
        clock.advance(chance.choice([0, 0.5, 1]))
        head = moment_of(store)
        moments += [head, moment_of(store, head.revision)]

    for _ in range(60):
        before, after = chance.choice(moments), chance.choice(moments)
        found = differences(store, before, after, limit=100)
        assert found.found == expected(store, before, after), (before, after)


# --- rollback ------------------------------------------------------------------------------


def test_rollback_restores_deletes_and_leaves_alone(store):
    put(store, "p/same")
    put(store, "p/changed", b"1", ttl_s=1_000)
    put(store, "p/gone", b"2")
    put(store, "other", b"1")
    before = moment_of(store)
    put(store, "p/changed", b"2")
    put(store, "p/new")
    put(store, "other", b"2")
    do(store, Delete("p/gone"))

    done = roll_back(store, before, Scope("p/"))

    assert (done.restored, done.deleted, done.unchanged) == (2, 1, 1)
    assert done.revision == store.stats().revision
    assert [value(store, key) for key in ("p/changed", "p/gone", "p/new")] == [b"1", b"2", None]
    assert store.get("p/changed").expires_us is None
    assert store.get("p/same").version == 1
    assert value(store, "other") == b"2"
    assert store.history("p/gone").versions[0].kind == "restore"


def test_dry_run_tells_what_would_be_done_and_writes_nothing(store):
    put(store, "a", b"1")
    before = moment_of(store)
    put(store, "a", b"2")
    put(store, "b")

    told = roll_back(store, before, Scope(), dry_run=True)

    assert (told.restored, told.deleted, told.unchanged) == (1, 1, 0)
    assert [(one.key, one.change) for one in told.changes] == [("a", "changed"), ("b", "removed")]
    assert told.revision == store.stats().revision == 3


def test_rollback_of_named_keys_leaves_others_alone(store):
    before = moment_of(store)
    for key in "abc":
        put(store, key)

    done = roll_back(store, before, Scope(keys=["a", "none", "a"]))

    assert (done.restored, done.deleted, done.unchanged) == (0, 1, 1)
    assert names(store.scan()) == ["b", "c"]


def test_rollback_to_what_is_there_is_no_commit(store):
    put(store, "a")

    done = roll_back(store, moment_of(store), Scope())

    assert (done.restored, done.deleted, done.unchanged, done.revision) == (0, 0, 1, 1)


def test_rollback_brings_back_what_has_expired_since(store, clock):
    put(store, "a", b"1", ttl_s=1)
    before = moment_of(store)
    clock.advance(5)

    done = roll_back(store, before, Scope())

    assert (done.restored, value(store, "a"), store.get("a").expires_us) == (1, b"1", None)


def test_rollback_of_more_keys_than_a_transaction_has_is_refused_with_their_count(store):
    before = moment_of(store)
    most = store.info.limits.txn_ops_max
    for number in range(most + 3):
        put(store, f"k{number}")

    with pytest.raises(LimitExceeded) as refused:
        roll_back(store, before, Scope())

    assert (refused.value.what, refused.value.got) == ("txn_ops_max", most + 3)
    assert store.count() == most + 3


class Raced:
    """A store in which another client writes a key before each commit, a number of times."""

    def __init__(self, store: Store, times: int, key: str = "a") -> None:
        self._store = store
        self.times = times
        self._key = key

    def __getattr__(self, name: str) -> object:
        return getattr(self._store, name)

    def commit(self, txn: Txn) -> Commit:
        if self.times:
            self.times -= 1
            put(self._store, self._key, b"raced %d" % self.times)
        return self._store.commit(txn)


def test_write_that_comes_between_is_seen_and_rolled_back_too(store):
    put(store, "a", b"1")
    before = moment_of(store)
    put(store, "a", b"2")

    done = roll_back(Raced(store, 2), before, Scope("a"))

    assert (done.restored, value(store, "a")) == (1, b"1")
    assert store.get("a").version == 5


@pytest.mark.parametrize("key", ["b", "new"])
def test_write_to_a_key_that_a_rollback_leaves_alone_stays(store, key: str):
    put(store, "a", b"1")
    put(store, "b", b"1")
    before = moment_of(store)
    put(store, "a", b"2")

    done = roll_back(Raced(store, 1, key), before, Scope())

    assert (done.revision, done.restored, done.unchanged) == (moment_of(store).revision, 1, 1)
    assert (value(store, "a"), value(store, key)) == (b"1", b"raced 0")


def test_rollback_with_nothing_to_do_names_the_revision_that_needed_nothing(store):
    put(store, "a", b"1")
    before = moment_of(store)

    done = roll_back(Raced(store, 1), before, Scope("a"))

    assert (done.revision, done.restored, done.unchanged) == (before.revision, 0, 1)
    assert value(store, "a", at=done.revision) == b"1"
    assert value(store, "a") == b"raced 0"


def test_rollback_gives_up_against_writes_without_end(store):
    put(store, "a", b"1")
    before = moment_of(store)
    put(store, "a", b"2")

    with pytest.raises(Conflict):
        roll_back(Raced(store, 1_000), before, Scope("a"))

    assert value(store, "a").startswith(b"raced")


def test_rollback_to_what_is_no_longer_kept_is_refused(clock: Clock):
    store = ModelStore(clock)
    for number in range(3):
        put(store, "a", b"%d" % number)
    before = moment_of(store, 1)
    store.forget_before(2)

    for scope in (Scope(), Scope(keys=["a"])):
        with pytest.raises(Compacted):
            roll_back(store, before, scope)


def test_every_rollback_leads_to_the_state_of_its_moment(store, clock):
    chance = random.Random(11)
    moments = [moment_of(store)]
    for _ in range(30):
        key = chance.choice("abcdef")
        if chance.random() < 0.7:
            put(store, key, b"%d" % chance.randrange(99), ttl_s=chance.choice([None, None, 2]))
        else:
            do(store, Delete(key))
        clock.advance(chance.choice([0, 1]))
        moments.append(moment_of(store))
        if chance.random() < 0.4:
            to = chance.choice(moments)
            wanted = {n: value(store, n, at=to) for n in names(store.scan(at=to, limit=100))}
            roll_back(store, to, Scope())
            assert {n: value(store, n) for n in names(store.scan(limit=100))} == wanted
            moments.append(moment_of(store))
