"""Erase: nothing of a key is left at any revision, and everything else stays as it was."""

from __future__ import annotations

import pytest

from rundlet_server.storage.errors import InvalidOperation, ReadOnly
from rundlet_server.storage.interface import Add, Delete, Put, Restore
from rundlet_server.storage.timeline import Moment
from tests.support import PATIENCE_S
from tests.support.backends import do, kinds, names, needs, put, value

pytestmark = needs("erase")


def test_an_erased_key_has_no_value_at_any_revision(store):
    put(store, "a", b"1")
    put(store, "a", b"2")
    put(store, "b")

    erased = store.erase("a")

    assert (erased.revision, erased.versions, erased.is_found) == (4, 2, True)
    for at in (None, 0, 1, 2, 3, 4, Moment(2, store.moment(0).time_us)):
        assert store.get("a", at=at) is None
        assert store.peek("a", at=at) is None
        assert store.get_many(["a", "a"], at=at).entries == [None, None]
        assert "a" not in names(store.scan(at=at))
        assert store.count(prefix="a", at=at) == 0


def test_other_keys_stay_as_they_were(store):
    do(store, Put("a", b"1"), Put("b", b"2"))
    do(store, Delete("b"), Put("c", b"3"))
    pages = [store.scan(at=at, include_values=True) for at in range(3)]
    lines = [store.history(key).versions for key in "bc"]

    store.erase("a", wait_s=PATIENCE_S)

    for at, page in enumerate(pages):
        kept = [info for info in page.keys if info.key != "a"]
        assert store.scan(at=at, include_values=True).keys == kept
    assert [store.history(key).versions for key in "bc"] == lines
    assert store.stats().oldest_revision == 0


def test_history_shows_the_erasure_alone(store):
    put(store, "a")
    do(store, Delete("a"))
    put(store, "a")
    store.erase("a")

    [line] = store.history("a").versions
    assert (line.revision, line.kind, line.version, line.size) == (4, "erase", 0, 0)


def test_the_feed_shows_the_erasure_alone(store):
    do(store, Put("a", b"1", metadata=(("who", "Ada"),)), Put("b", b"2"))
    put(store, "a", b"3")
    store.erase("a")
    put(store, "a", b"4")

    events = store.changes(0, include_values=True).events
    assert [(event.revision, event.kind, event.key, event.value) for event in events] == [
        (1, "put", "b", b"2"),
        (3, "erase", "a", None),
        (4, "put", "a", b"4"),
    ]
    assert all(event.is_last for event in events)
    assert [event.metadata for event in events] == [(), (), ()]
    assert store.changes(1, until=2).events == []


def test_an_erased_key_can_be_written_again_as_a_new_one(store):
    put(store, "a", b"1")
    put(store, "a", b"2")
    store.erase("a")

    assert do(store, Add("a", 5)).results[0] == (False, 1, 5)
    assert value(store, "a") == b"5"
    assert value(store, "a", at=2) is None
    assert kinds(store, "a") == ["put", "erase"]
    assert [store.get_version("a", version).value for version in (1,)] == [b"5"]


def test_a_version_from_before_cannot_be_read_or_restored(store):
    put(store, "a", b"1")
    put(store, "a", b"2")
    store.erase("a")

    for version in (1, 2):
        assert store.get_version("a", version) is None
        with pytest.raises(InvalidOperation):
            do(store, Restore("a", version))
    put(store, "a", b"new")
    with pytest.raises(InvalidOperation):
        do(store, Restore("a", 2))
    with pytest.raises(InvalidOperation):
        do(store, Restore("a", revision=2))


def test_an_unknown_key_is_not_found(store):
    put(store, "b")

    erased = store.erase("a")

    assert (erased.revision, erased.versions) == (1, 0)
    assert (erased.is_pending, erased.is_found) == (False, False)
    assert store.stats().revision == 1


def test_the_second_erasure_tells_of_the_first(store, backend):
    put(store, "a")
    first = store.erase("a", wait_s=PATIENCE_S)
    put(store, "b")

    second = store.erase("a", wait_s=PATIENCE_S)

    assert (second.revision, second.versions, second.is_found) == (first.revision, 0, True)
    assert first.is_pending == second.is_pending == backend.erases_with_history
    assert store.stats().revision == 3


def test_a_key_erased_again_after_a_write_loses_that_too(store, backend):
    put(store, "a", b"1")
    store.erase("a")
    put(store, "a", b"2")

    erased = store.erase("a", wait_s=PATIENCE_S)

    assert (erased.revision, erased.versions) == (4, 1)
    assert erased.is_pending == backend.erases_with_history
    assert kinds(store, "a") == ["erase"]
    assert [store.get("a", at=at) for at in range(5)] == [None] * 5


def test_a_deleted_key_can_be_erased(store):
    put(store, "a", b"1")
    do(store, Delete("a"))

    assert store.erase("a").versions == 1
    assert kinds(store, "a") == ["erase"]


def test_an_expired_key_can_be_erased(store, clock):
    put(store, "a", b"1", ttl_s=5)
    put(store, "b", b"2", ttl_s=50)
    clock.advance(10)
    assert (store.stats().key_count, store.stats().value_bytes) == (1, 1)

    erased = store.erase("a")

    assert (erased.revision, erased.versions) == (4, 1)  # the expiry has a revision of its own
    assert kinds(store, "a") == ["erase"]
    assert (store.stats().key_count, store.stats().value_bytes) == (1, 1)
    clock.advance(100)
    assert (store.stats().key_count, store.stats().value_bytes) == (0, 0)


def test_statistics_are_exact_after_an_erasure(store):
    put(store, "a", b"12345")
    put(store, "b", b"12")
    assert store.stats().value_bytes == 7

    store.erase("a", wait_s=PATIENCE_S)

    assert (store.stats().key_count, store.stats().value_bytes) == (1, 2)
    assert store.count() == 1


def test_an_erasure_is_kept_when_the_store_is_opened_again(store, backend, open_backend):
    if not backend.is_kept:
        pytest.skip("it ends with its process")
    put(store, "a", b"1")
    put(store, "b", b"2")
    revision = store.erase("a").revision
    store.close()

    again = open_backend()

    assert [again.get("a", at=at) for at in (None, 1, 2, 3)] == [None] * 4
    assert kinds(again, "a") == ["erase"]
    erased = again.erase("a", wait_s=PATIENCE_S)
    assert (erased.revision, erased.is_pending) == (revision, backend.erases_with_history)
    again.close()


def test_a_store_that_is_only_read_erases_nothing(backend, open_backend):
    if not backend.is_kept:
        pytest.skip("it is empty")
    opened = open_backend()
    put(opened, "a")
    opened.close()
    read_only = open_backend(read_only=True)

    with pytest.raises(ReadOnly):
        read_only.erase("a")
    read_only.close()
