"""Old revisions and versions stay readable."""

from __future__ import annotations

import pytest

from rundlet_server.storage.errors import InvalidRequest
from rundlet_server.storage.interface import DEFAULT_CONTENT_TYPE, Delete
from tests.support.backends import do, names, put, value
from tests.support.models.model import START_US

SECOND_US = 1_000_000


def test_old_revisions_stay_readable(store):
    put(store, "a", b"1")
    put(store, "a", b"2")
    do(store, Delete("a"))
    put(store, "b", b"3")

    assert [value(store, "a", at=revision) for revision in range(5)] == [
        None,
        b"1",
        b"2",
        None,
        None,
    ]
    assert [names(store.scan(at=revision)) for revision in range(5)] == [
        [],
        ["a"],
        ["a"],
        [],
        ["b"],
    ]
    assert [store.count(at=revision) for revision in range(5)] == [0, 1, 1, 0, 1]
    assert store.get_many(["a", "b"], at=2).revision == 2


def test_a_revision_that_is_not_there_yet_is_refused(store):
    put(store, "a")

    for read in (
        lambda: store.get("a", at=2),
        lambda: store.get_many(["a"], at=2),
        lambda: store.scan(at=2),
        lambda: store.count(at=2),
    ):
        with pytest.raises(InvalidRequest):
            read()


def test_history_is_newest_first(store, clock):
    put(store, "a", b"1", content_type="text/css")
    clock.advance(1)
    put(store, "other")
    put(store, "a", b"22")
    do(store, Delete("a"))
    later = START_US + SECOND_US

    assert store.history("a")[1:] == [
        (3, 2, "put", later, 2, DEFAULT_CONTENT_TYPE),
        (1, 1, "put", START_US, 1, "text/css"),
    ]
    assert store.history("a")[0][:5] == (4, 0, "delete", later, 0)


def test_history_is_limited_and_goes_on_before_a_revision(store):
    for _ in range(6):
        put(store, "a")

    assert [version.revision for version in store.history("a", limit=2)] == [6, 5]
    assert [version.revision for version in store.history("a", limit=2, before=5)] == [4, 3]
    assert store.history("a", before=1) == []
