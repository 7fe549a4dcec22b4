"""Test that a value is found in one pass as it is found step by step, whatever else the store has.

A read at the head takes the short way, a read at the revision of the head the long one.
"""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from rundlet_server.storage.interface import Delete, Op, Put, Restore, Touch, Txn
from rundlet_server.storage.log import reads
from rundlet_server.storage.log.index.columns import key_tag
from rundlet_server.storage.log.read.answers import moment_of
from rundlet_server.storage.log.store import LogStore
from rundlet_server.storage.metadata import metadata_of
from rundlet_server.storage.opening import open_log_store
from rundlet_server.storage.settings import StoreSettings
from rundlet_server.storage.timeline import Moment
from tests.support.backends import value
from tests.support.disks.unsynced_files import UnsyncedFiles
from tests.support.models.model import Clock

SAME_HASH = ("key-7203", "key-34660")
"""Two keys that the hash table of an index file cannot tell apart."""
LARGE = bytes(300_000)


@pytest.fixture(params=[0, 1_000_000], ids=["uncached", "cached"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[LogStore]:
    settings = StoreSettings(
        files=UnsyncedFiles(),
        clock=Clock(),
        maintain_inline=False,
        segment_records_max=50,
        cache_bytes_max=request.param,
    )
    with contextlib.closing(open_log_store(tmp_path / "data", settings)) as store:
        yield store


def commit(store: LogStore, *ops: Op) -> None:
    store.commit(Txn(ops))


def seal_and_index(store: LogStore, *, is_verified: bool) -> None:
    """Put all that was written into an index file."""
    store._writer.seal()
    store.maintainer.checkpoint(wait=True)
    for index in store._follower.refresh().indexes if is_verified else ():
        index.verify()


def test_two_keys_of_one_hash_are_two_keys():
    assert SAME_HASH[0] != SAME_HASH[1]
    assert key_tag(SAME_HASH[0].encode()) == key_tag(SAME_HASH[1].encode())


@pytest.mark.parametrize("is_verified", [False, True])
@pytest.mark.parametrize("key", SAME_HASH)
def test_key_without_a_value_does_not_have_that_of_another_with_the_same_hash(
    store, key, is_verified
):
    [other] = set(SAME_HASH) - {key}
    commit(store, Put(key, b"its own"))
    seal_and_index(store, is_verified=is_verified)

    assert value(store, key) == b"its own"
    assert store.get(other) is None
    assert store.peek(other) is None
    assert store.get_many(SAME_HASH).entries.count(None) == 1


@pytest.mark.parametrize("is_deleted", [False, True])
@pytest.mark.parametrize("is_together", [False, True])
@pytest.mark.parametrize("key", SAME_HASH)
def test_newer_key_with_the_same_hash_does_not_hide_a_value(store, key, is_together, is_deleted):
    [other] = set(SAME_HASH) - {key}
    commit(store, Put(key, b"its own"))
    if not is_together:
        for number in range(200):  # so that the index file stays as it is
            commit(store, Put(f"more-{number}", b""))
        seal_and_index(store, is_verified=True)
    commit(store, Put(other, b"another"))
    if is_deleted:
        commit(store, Delete(other))
    seal_and_index(store, is_verified=True)
    assert len(store._follower.view.indexes) == (1 if is_together else 2)

    assert value(store, key) == b"its own"
    assert value(store, other) == (None if is_deleted else b"another")
    assert [entry and entry.value for entry in store.get_many([key, other]).entries] == [
        b"its own",
        None if is_deleted else b"another",
    ]


def random_op(rng: random.Random, key: str, clock: Clock) -> Op:
    ops: list[Op] = [
        Put(key, rng.randbytes(rng.choice([0, 5, 100]))),
        Put(key, b"text", rng.choice(["text/plain", "text/x-rare"]), rng.choice([None, 30.0])),
        Put(key, b"described", metadata=metadata_of({"by": "x" * rng.choice([3, 400])})),
        Put(key, b"due", expires_us=clock.now_us + rng.choice([-1, 1, 5_000_000])),
        Touch(key, rng.choice([None, 20.0])),
        Delete(key),
        Restore(key, 1),
    ]
    return rng.choices(ops, [4, 3, 2, 1, 1, 2, 1])[0]


def test_one_pass_finds_what_the_long_way_finds(store):
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")  # noqa: T201 - pytest shows it where the test fails
    rng = random.Random(seed)
    clock = store._settings.clock
    keys = [*SAME_HASH, "large", *(f"key-{number}" for number in range(30)), "\u00e9", "never"]
    commit(store, Put("large", LARGE))
    for _ in range(300):
        key = rng.choice(keys[:2] if rng.random() < 0.2 else keys[3:-1])
        op = random_op(rng, key, clock)
        if isinstance(op, Put | Delete) or store.get(key) is not None:
            commit(store, op)
        if rng.random() < 0.02:
            seal_and_index(store, is_verified=rng.random() < 0.8)
        if rng.random() < 0.02:
            clock.advance(rng.choice([1, 25]))
        if rng.random() < 0.01:
            store.maintainer.compact(thorough=rng.random() < 0.5)
        for key in (*SAME_HASH, *rng.sample(keys, 5)):
            long_way = store.get(key, at=store.moment(store._clock.now_us()))
            assert store.get(key) == long_way, key
            if key != "large":
                assert store.peek(key) == long_way, key
        many = rng.sample(keys, rng.choice([1, 3, 20]))
        if rng.random() < 0.5:
            many = [key for key in many if store.get(key) is not None and key != "large"]
        if rng.random() < 0.1:
            many += many[:2]
        at = store.moment(store._clock.now_us())
        sizes: list[int] = []
        assert store.get_many(many, admit=sizes.append) == store.get_many(many, at=at), many
        assert sizes


def test_many_values_are_none_newer_than_their_snapshot(store, monkeypatch):
    commit(store, Put("a", b"old"), Put("b", b"old"))
    for key in ("a", "b"):
        store.get(key)
    late = [Txn([Put("b", b"new")]), Txn([Put("a", b"newest")])]

    def moment_and_late_commits(*asked: object) -> Moment:
        moment = moment_of(*asked)
        while late:
            store.commit(late.pop(0))
        return moment

    monkeypatch.setattr(reads, "moment_of", moment_and_late_commits)
    snapshot = store.get_many(["a", "b"])

    assert not late
    assert max(entry.revision for entry in snapshot.entries) <= snapshot.revision
    assert snapshot == store.get_many(["a", "b"], at=snapshot.moment)


def test_size_of_many_values_has_their_metadata_whether_they_are_cached_or_not(store):
    commit(store, Put("a", b"1" * 10, metadata=metadata_of({"by": "x" * 900})), Put("b", b"2"))
    sizes: list[int] = []

    for _ in range(2):
        store.get_many(["a", "b", "no"], admit=sizes.append)

    assert min(sizes) > 900 + 10 + 1 + len("abno")


def test_keys_that_are_named_twice_are_answered_twice(store):
    commit(store, Put("a", b"1"), Put("b", b"2"))

    assert [entry and entry.value for entry in store.get_many(["a", "b", "no", "a"]).entries] == [
        b"1",
        b"2",
        None,
        b"1",
    ]
