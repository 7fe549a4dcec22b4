"""Plain puts that are decided in one pass make the bytes that one step after the other makes."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest

from rundlet_server.storage.bounds import IDEMPOTENCY_S_DEFAULT, VALUE_BYTES_LIMIT
from rundlet_server.storage.errors import Conflict, Damaged, DiskFull, InvalidOperation, StoreError
from rundlet_server.storage.interface import (
    DEFAULT_CONTENT_TYPE,
    TEXT_CONTENT_TYPE,
    Add,
    Condition,
    Delete,
    Limits,
    Op,
    Put,
    Restore,
    Touch,
    Txn,
)
from rundlet_server.storage.log.format.locator import Locator
from rundlet_server.storage.log.format.record import COPIED_BYTES_MAX, VERSION_MAX
from rundlet_server.storage.log.read.view import View
from rundlet_server.storage.log.store import LogStore
from rundlet_server.storage.log.write.batch import Batch
from rundlet_server.storage.log.write.group_commit import _decide, _Request
from rundlet_server.storage.metadata import metadata_of
from rundlet_server.storage.opening import open_log_store
from rundlet_server.storage.outcomes.idempotency import KEY_SIZE, Idempotency
from rundlet_server.storage.outcomes.results import Commit
from rundlet_server.storage.requests import _check_ops, check_txn, encode_key
from rundlet_server.storage.settings import StoreSettings
from tests.support.campaign import Campaign
from tests.support.disks.unsynced_files import UnsyncedFiles
from tests.support.models.model import Clock

KEYS = ["a", "b", "c/1", "c/2", "é", "another"]
SIZES = [0, 1, 3, 100, COPIED_BYTES_MAX, COPIED_BYTES_MAX + 1]
TYPES = [DEFAULT_CONTENT_TYPE, DEFAULT_CONTENT_TYPE, TEXT_CONTENT_TYPE, "image/x-rare"]

ONCE = Idempotency(bytes(KEY_SIZE), b"one", IDEMPOTENCY_S_DEFAULT)


class StepByStep(Batch):
    """A batch that takes no transaction for plain puts."""

    def add_plain(self, *_: object) -> list[Commit]:
        return []


class Counting(Batch):
    """A batch that counts the transactions done in one pass."""

    plain_count = 0

    def add_plain(self, txns: Sequence[Txn], start: int) -> list[Commit]:
        commits = super().add_plain(txns, start)
        self.plain_count += len(commits)
        return commits


class FullFiles(UnsyncedFiles):
    """A file system with little free space."""

    def free_bytes(self, _: Path) -> int:
        return 2_000_000


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(tmp_path: Path, clock: Clock) -> Iterator[LogStore]:
    settings = StoreSettings(files=UnsyncedFiles(), clock=clock, segment_records_max=50)
    with closing(open_log_store(tmp_path, settings)) as opened:
        yield opened


def test_random_transactions_make_the_same_frames_both_ways(
    store: LogStore, clock: Clock, campaign: Campaign
):
    chance = random.Random(campaign.seed)
    for _ in range(150):
        txns = [random_txn(chance) for _ in range(chance.randint(1, 5))]
        with store._writer.exclusive() as view:
            assert_same_frame_alone(store, view, txns[0], campaign)
            plain, stepwise = both(store, view)
            assert outcomes(plain, txns) == outcomes(stepwise, txns), txns
            assert contents(plain) == contents(stepwise), txns
            store._writer.write(view, plain.frames)
        clock.advance(chance.choice([0, 0, 3, 20]))
        if chance.random() < 0.05:
            store._writer.seal()
            store.maintainer.checkpoint()
        campaign.count("random transactions", len(txns))
        campaign.count("of plain puts", plain.plain_count)
    assert campaign.faults["of plain puts"] > 30
    assert campaign.faults["of plain puts alone"] > 30


def assert_same_frame_alone(store: LogStore, view: View, txn: Txn, campaign: Campaign) -> None:
    """Decide a transaction alone, and as a batch; a frame alone is of plain puts only."""
    alone = store._writer.plain_frame(view, txn)
    plain, stepwise = both(store, view)
    if alone is None:
        assert not plain.add_plain([txn], 0)
        return
    frame, commit = alone
    assert [commit] == outcomes(stepwise, [txn])
    assert (b"".join(frame.buffers), *frame[1:]) == contents(stepwise)[:-2]
    campaign.count("of plain puts alone")


def test_puts_that_are_taken_at_a_glance_are_those_that_a_closer_look_takes(campaign: Campaign):
    limits = Limits(key_bytes_max=8, value_bytes_max=10, txn_ops_max=2, txn_bytes_max=24)
    odd = [
        {"ttl_s": 0.0},
        {"expires_us": 0},
        {"content_type": "x" * 201},
        {"metadata": (("A", ""),)},
    ]
    chance = random.Random(campaign.seed)
    for _ in range(3_000):
        ops = [
            Put(
                chance.choice(
                    ["", "a", "b", "cd", "é" * 4, "é" * 5, "eight888", "nine99999", "\ud800"]
                ),
                bytes(chance.choice([0, 1, 9, 10, 11])),
                **chance.choice([{}] * 12 + odd),
            )
            for _ in range(chance.randint(0, 4))
        ]

        assert refusal(check_txn, Txn(ops), limits) == refusal(
            _check_ops, ops, limits, partial(encode_key, limits=limits)
        ), ops

        campaign.count("random puts", len(ops))


def refusal(check: Callable[..., None], *arguments: object) -> tuple[type[StoreError], str] | None:
    try:
        check(*arguments)
    except StoreError as ex:
        return type(ex), str(ex)
    return None


def random_txn(chance: random.Random) -> Txn:
    """Return a transaction, in half of the cases of plain puts only."""
    keys = chance.sample(KEYS, chance.randint(1, 4))
    if chance.random() < 0.5:
        puts = [Put(key, bytes(chance.choice(SIZES[:-1])), TYPES[0]) for key in keys]
        return Txn(puts, idempotency=ONCE if chance.random() < 0.1 else None)
    conditions = [Condition(key, exists=chance.random() < 0.5) for key in keys[:1]]
    return Txn(
        [random_op(chance, key) for key in keys],
        conditions if chance.random() < 0.5 else [],
        [random_op(chance, key) for key in keys] if chance.random() < 0.5 else None,
        ONCE if chance.random() < 0.1 else None,
    )


def random_op(chance: random.Random, key: str) -> Op:
    value = bytes(chance.choice(SIZES))
    content_type = chance.choice(TYPES)
    return chance.choice(
        [
            Put(key, value, content_type),
            Put(key, value, content_type),
            Put(key, b"7", content_type, ttl_s=chance.choice([1.0, 10.0])),
            Put(key, b"8", content_type, expires_us=chance.choice([1, 1 << 51])),
            Put(key, value, metadata=metadata_of({"by": "ü"})),
            Delete(key),
            Add(key, 5),
            Touch(key, chance.choice([None, 4.0])),
            Restore(key, version=chance.randint(1, 3)),
        ]
    )


def both(store: LogStore, view: View) -> tuple[Counting, StepByStep]:
    arguments = {
        "salt": view.segment(view.active.segment).header.salt,
        "now_us": store._writer.time_us(view),
        "synced": store._parts.commit_page.durable_in(view.active.segment),
        "limits": store._limits,
        "free_space": store._writer.free_space,
    }
    return Counting(view, **arguments), StepByStep(view, **arguments)


def outcomes(batch: Batch, txns: Sequence[Txn]) -> list[Commit | tuple[type[Exception], str]]:
    request = _Request(txns)
    assert _decide(batch, request)
    return [
        (type(outcome), str(outcome)) if isinstance(outcome, Exception) else outcome
        for outcome in request.take()
    ]


def contents(batch: Batch) -> tuple[object, ...]:
    frames = batch.frames
    fields = (frames.entries, frames.commits, frames.head, frames.size, frames.needs)
    return b"".join(frames.buffers), *fields, frames.next_revision, batch.commit_count


def test_an_expired_value_is_logged_as_such_before_a_plain_put(store: LogStore, clock: Clock):
    store.commit(Txn([Put("a", b"old", ttl_s=5)]))
    clock.advance(10)

    store.commit(Txn([Put("b", b"1"), Put("a", b"new")]))

    assert [line.kind for line in store.history("a").versions] == ["put", "expire", "put"]
    assert store.get("a").version == 1


def test_a_key_at_the_last_version_takes_no_plain_put(store: LogStore):
    store.commit(Txn([Put("a", b"1")]))
    rows = store._follower.current().active.rows
    rows[b"a"] = rows[b"a"]._replace(version=VERSION_MAX)

    with pytest.raises(InvalidOperation) as refused:
        store.commit(Txn([Put("b", b"1"), Put("a", b"2")]))

    assert refused.value.index == 1
    assert store.get("b") is None


@pytest.mark.parametrize(
    "failure", [Damaged("1.idx", 64, "planted"), OSError(5, "planted"), KeyError(1)]
)
def test_a_plain_put_that_fails_in_a_group_fails_no_other(
    store: LogStore, monkeypatch: pytest.MonkeyPatch, failure: Exception
):
    def find(view: View, key: bytes, at: int | None = None) -> Locator | None:
        if key == b"b":
            raise failure
        return find_logged(view, key, at)

    find_logged = View.find_logged
    monkeypatch.setattr(View, "find_logged", find)
    monkeypatch.setattr(View, "finder", lambda view: partial(find, view))
    found = store.commit_group([Txn([Put(key, key.encode())]) for key in "abcd"])
    monkeypatch.undo()

    assert [isinstance(outcome, Commit) for outcome in found] == [True, False, True, True]
    assert [store.get(key) is not None for key in "abcd"] == [True, False, True, True]
    assert [found[place].revision for place in (0, 2, 3)] == [
        store.get(key).revision for key in "acd"
    ]


def test_a_condition_within_a_group_of_plain_puts_is_asked(store: LogStore):
    conditioned = Txn([Put("b", b"1")], conditions=[Condition("missing", exists=True)])
    found = store.commit_group([Txn([Put("a", b"1")]), conditioned, Txn([Put("c", b"1")])])

    assert [isinstance(outcome, Commit) and outcome.succeeded for outcome in found] == [
        *(True, False, True)
    ]
    assert [store.get(key) is not None for key in "abc"] == [True, False, True]


def test_a_condition_of_a_plain_put_alone_is_asked(store: LogStore):
    with pytest.raises(Conflict):
        store.commit(Txn([Put("b", b"1")], conditions=[Condition("missing", exists=True)]))

    assert store.get("b") is None


def test_plain_puts_are_refused_where_space_is_short(tmp_path: Path):
    with closing(open_log_store(tmp_path, StoreSettings(files=FullFiles()))) as store:
        with pytest.raises(DiskFull):
            store.commit(Txn([Put(f"key {n}", bytes(1_000)) for n in range(999)]))

        store.commit(Txn([Put("small", b"1")]))
        assert store.stats().key_count == 1


def test_plain_puts_of_any_limits_are_done(tmp_path: Path):
    """Where more can be put than a frame holds, the sizes are added up first."""
    limits = Limits(txn_bytes_max=VALUE_BYTES_LIMIT)
    settings = StoreSettings(files=UnsyncedFiles(), limits=limits)
    with closing(open_log_store(tmp_path, settings)) as store:
        store.commit(Txn([Put("a", b"1"), Put("b", b"2")]))

        assert store.stats().key_count == 2
