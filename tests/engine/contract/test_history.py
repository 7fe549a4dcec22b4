"""Old revisions and versions stay readable."""

from __future__ import annotations

import pytest

from rundlet_server.storage.errors import InvalidRequest, ReadOnly
from rundlet_server.storage.interface import DEFAULT_CONTENT_TYPE, Delete
from rundlet_server.storage.timeline import Moment, Retention
from tests.support.backends import do, names, put, value
from tests.support.models.model import START_US

SECOND_US = 1_000_000
NAN = float("nan")


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
    put(store, "a", b"22", ttl_s=1)
    do(store, Delete("a"))
    later = START_US + SECOND_US

    history = store.history("a")

    assert history.versions[1:] == [
        (3, 2, "put", later, 2, DEFAULT_CONTENT_TYPE, later + SECOND_US, ()),
        (1, 1, "put", START_US, 1, "text/css", None, ()),
    ]
    assert history.versions[0][:5] == (4, 0, "delete", later, 0)
    assert (history.revision, history.oldest_revision, history.resume) == (4, 0, None)


def test_history_is_limited_and_goes_on_before_a_revision(store):
    for _ in range(6):
        put(store, "a")

    newest = store.history("a", limit=2)
    older = store.history("a", limit=2, before=newest.resume)
    oldest = store.history("a", limit=2, before=older.resume)
    pages = [[version.revision for version in page.versions] for page in (newest, older, oldest)]

    assert pages == [[6, 5], [4, 3], [2, 1]]
    assert oldest.resume is None
    assert store.history("a", before=1).versions == []


def test_a_time_leads_to_the_newest_commit_at_or_before_it(store, clock):
    for _ in range(3):
        put(store, "a")
        clock.advance(1)
    put(store, "a")
    times_us = [START_US + halves * SECOND_US // 2 for halves in range(-1, 7)]

    moments = [store.moment(time_us) for time_us in times_us]

    assert [moment.revision for moment in moments] == [0, 1, 1, 2, 2, 3, 3, 4]
    assert [moment.time_us for moment in moments] == times_us


def test_commits_of_the_same_time_are_one_moment(store):
    for number in range(5):
        put(store, "a", b"%d" % number)

    assert value(store, "a", at=store.moment(START_US)) == b"4"


def test_a_time_that_has_not_come_is_refused(store, clock):
    put(store, "a")
    store.moment(clock.now_us)

    with pytest.raises(InvalidRequest):
        store.moment(clock.now_us + 1)


def test_a_clock_that_is_set_back_leaves_moments_in_order(store, clock):
    put(store, "a", b"1")
    clock.advance(10)
    put(store, "a", b"2")
    clock.advance(-20)
    put(store, "a", b"3")

    assert value(store, "a", at=store.moment(START_US + 9 * SECOND_US)) == b"1"
    assert value(store, "a", at=store.moment(START_US + 10 * SECOND_US)) == b"3"


def test_a_read_names_its_moment(store, clock):
    put(store, "a")
    clock.advance(5)
    now_us = START_US + 5 * SECOND_US

    assert store.scan().moment == store.get_many(["a"]).moment == Moment(1, now_us)
    assert store.scan(at=1).moment == store.get_many(["a"], at=1).moment == Moment(1, START_US)
    assert store.scan(at=0).moment == Moment(0, 0)
    past = Moment(1, START_US + SECOND_US)
    assert store.scan(at=past).moment == store.get_many(["a"], at=past).moment == past


def test_retention_is_kept_and_changed_by_any_that_has_the_store_open(store, open_backend, backend):
    assert store.retention() == backend.retention
    other = open_backend() if backend.is_kept else store

    store.retain(backend.retains)

    assert store.retention() == other.retention() == backend.retains
    other.close()


@pytest.mark.parametrize(
    "retention",
    [Retention(0, 1), Retention(-1, 1), Retention(1, -1), Retention(1, 1e12), Retention(1, NAN)],
)
def test_a_retention_that_no_store_can_have_is_refused(store, backend, retention):
    with pytest.raises(InvalidRequest):
        store.retain(retention)

    assert store.retention() == backend.retention


def test_a_store_that_is_read_only_keeps_its_retention(store, backend, open_backend):
    store.retain(backend.retains)
    reader = open_backend(read_only=True)

    with pytest.raises(ReadOnly):
        reader.retain(Retention())
    reader.close()
