"""Test what the client says of the past, over a real server."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from rundlet import BadRequest, Client, Compacted, Restore, Retention
from tests.support.models.model import START_US, Clock, ModelStore
from tests.support.wire.served_model import served

START = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=START_US)


@pytest.fixture
def store(clock: Clock) -> ModelStore:
    return ModelStore(clock)


@pytest.fixture
def client(store: ModelStore, clock: Clock) -> Iterator[Client]:
    """A client of a server where ``k`` was 1, 2, 3, a second apart, and ``a/../b`` is x."""
    with served(store) as url, Client(url) as opened:
        for value in ("1", "2", "3"):
            opened.set("k", value)
            clock.advance(1)
        opened.set("a/../b", "x", ttl=60)
        yield opened


def seconds(count: float) -> datetime:
    return START + timedelta(seconds=count)


def text(client: Client, key: str, **place: object) -> str | None:
    value = client.get(key, **place)
    return value and value.text


def test_values_are_read_as_they_were(client):
    assert text(client, "k", revision=1) == "1"
    assert text(client, "k", at=seconds(1.5)) == "2"
    assert text(client, "k", at="2023-11-14T22:13:20+00:00") == "1"
    assert text(client, "k", version=3) == "3"
    assert text(client, "k", version=9) is None
    assert [value and value.text for value in client.mget(["k", "none"], at=seconds(1))] == [
        "2",
        None,
    ]
    assert [value.text for value in client.mget(["k"], revision=1)] == ["1"]
    assert [info.key for info in client.scan(at=seconds(0))] == ["k"]


def test_lists_tell_when_a_value_was_written_and_when_it_expires(client):
    first, second = client.scan()

    assert (first.key, first.time, first.expires) == ("a/../b", seconds(3), seconds(63))
    assert (second.time, second.expires) == (seconds(2), None)


def test_history_goes_on_over_pages(client):
    assert [version.version for version in client.history("k")] == [3, 2, 1]
    assert [version.revision for version in client.history("k", limit=2)] == [3, 2]
    assert list(client.history("none")) == []
    (only,) = client.history("a/../b")
    assert (only.op, only.time, only.expires) == ("put", seconds(3), seconds(63))
    assert len(list(client.history("k", limit=5_000))) == 3


def test_differences_name_both_sides(client):
    added, changed = client.diff(1)

    assert (added.key, added.change, added.before) == ("a/../b", "added", None)
    assert (changed.before.revision, changed.after.revision) == (1, 3)
    assert [each.change for each in client.diff(seconds(3), seconds(0))] == ["removed", "changed"]
    assert list(client.diff(1, prefix="none")) == []


def test_rollback_is_tried_and_done(client):
    told = client.rollback(1, prefix="", dry_run=True)
    assert (told.restored, told.deleted, told.unchanged) == (1, 1, 0)
    assert [each.key for each in told.changes] == ["a/../b", "k"]
    assert text(client, "k") == "3"

    done = client.rollback(seconds(0), prefix="")

    assert (done.revision, done.restored, done.deleted, done.changes) == (5, 1, 1, ())
    assert text(client, "k") == "1"
    assert client.rollback(3, keys=["k"]).restored == 1
    with pytest.raises(BadRequest):
        client.rollback(1)
    with pytest.raises(BadRequest):
        client.rollback(1, prefix="", keys=["k"])


def test_transaction_restores_by_version_or_revision(client):
    client.txn([Restore("k", version=1)])
    assert text(client, "k") == "1"
    client.txn([Restore("k", revision=2, ttl=9)])
    assert text(client, "k") == "2"
    assert client.get("k").expires is not None


def test_retention_is_read_and_changed_in_part(client):
    assert client.retention() == Retention(10, 3_600)
    assert client.retention(keep_for_s=0.5) == Retention(10, 0.5)
    assert client.retention(keep_versions=3) == client.retention() == Retention(3, 0.5)


def test_erased_key_is_gone_from_every_revision(client):
    erased = client.erase("k", wait_s=1)

    assert (erased.versions, erased.is_pending) == (3, False)
    assert text(client, "k", revision=1) is None
    assert [version.op for version in client.history("k")] == ["erase"]
    assert client.erase("none") is None


@pytest.mark.parametrize(
    "place",
    [
        {"revision": 1, "version": 1},
        {"revision": 1, "at": seconds(0)},
        {"at": datetime(2026, 1, 1)},
        {"at": "yesterday"},
        {"at": seconds(99)},
    ],
)
def test_place_that_is_none_or_not_one_is_refused(client, place):
    with pytest.raises(BadRequest):
        client.get("k", **place)


def test_what_is_no_longer_kept_says_what_is(client, store):
    store.forget_before(2)

    for call in (
        lambda: client.get("k", at=seconds(0)),
        lambda: list(client.diff(1)),
        lambda: client.rollback(1, prefix=""),
    ):
        with pytest.raises(Compacted) as refused:
            call()
        assert refused.value.oldest_revision == 2
