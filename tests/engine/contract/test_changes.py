"""The feed: every commit after a revision, whole, in order, once; and waiting for the next."""

from __future__ import annotations

import threading

import pytest

from rundlet_server.storage.errors import InvalidRequest
from rundlet_server.storage.interface import DEFAULT_CONTENT_TYPE, Delete, Put, Restore
from rundlet_server.storage.timeline import Event
from tests.support import PATIENCE_S
from tests.support.backends import do, put
from tests.support.models.model import START_US

SECOND_US = 1_000_000


def test_events_are_in_the_order_of_commits_and_operations(store, clock):
    do(store, Put("b", b"1", "text/css"), Put("a", b"22", ttl_s=60))
    clock.advance(1)
    do(store, Delete("b"), Put("a", b"3"), Put("c", b""))

    later = START_US + SECOND_US
    found = store.changes(0)
    assert found.events == [
        Event(1, START_US, "put", "b", 1, 1, "text/css", None, False),
        Event(1, START_US, "put", "a", 1, 2, DEFAULT_CONTENT_TYPE, START_US + 60 * SECOND_US, True),
        Event(2, later, "delete", "b", 0, 0, DEFAULT_CONTENT_TYPE, None, False),
        Event(2, later, "put", "a", 2, 1, DEFAULT_CONTENT_TYPE, None, False),
        Event(2, later, "put", "c", 1, 0, DEFAULT_CONTENT_TYPE, None, True),
    ]
    assert (found.next_since, found.oldest_revision) == (2, 0)


def test_changes_since_a_revision_come_after_it(store):
    for _ in range(5):
        put(store, "a")

    assert revisions(store.changes(3)) == [4, 5]
    assert revisions(store.changes(5)) == []
    assert store.changes(5).next_since == 5


def test_there_are_no_changes_beyond_the_head(store):
    put(store, "a")

    with pytest.raises(InvalidRequest):
        store.changes(2)


def test_changes_of_an_empty_store_are_none(store):
    assert store.changes(0).events == []
    assert store.changes(0).next_since == 0


def test_changes_end_at_the_last_revision_wanted(store):
    for _ in range(5):
        put(store, "a")

    found = store.changes(1, until=3)
    assert (revisions(found), found.next_since) == ([2, 3], 3)
    assert store.changes(4, until=2).next_since == 4
    assert revisions(store.changes(4, until=9)) == [5]


def test_values_are_on_the_page_if_they_are_wanted(store):
    put(store, "a", b"1")
    do(store, Delete("a"))
    do(store, Restore("a", 1))

    events = store.changes(0, include_values=True).events
    assert [(event.kind, event.value) for event in events] == [
        ("put", b"1"),
        ("delete", None),
        ("restore", b"1"),
    ]
    assert [event.value for event in store.changes(0).events] == [None] * 3


def test_only_keys_with_the_prefix_are_on_the_page(store):
    do(store, Put("a/1", b""), Put("b/1", b""))
    put(store, "b/2")
    do(store, Put("a/2", b""), Put("é", b""), Put("a/3", b""))
    put(store, "b/3")

    found = store.changes(0, prefix="a/")
    assert [(event.revision, event.key, event.is_last) for event in found.events] == [
        (1, "a/1", True),
        (3, "a/2", False),
        (3, "a/3", True),
    ]
    assert found.next_since == 4


def test_an_empty_page_goes_on_behind_what_does_not_match(store):
    put(store, "b")
    put(store, "b")

    assert store.changes(0, prefix="a").events == []
    assert store.changes(0, prefix="a").next_since == 2


def test_pages_hold_whole_commits(store):
    for number in range(3):
        do(store, Put(f"a{number}", b""), Put(f"b{number}", b""))

    found = store.changes(0, limit=3)
    assert (revisions(found), found.next_since) == ([1, 1], 1)
    found = store.changes(0, limit=4)
    assert (revisions(found), found.next_since) == ([1, 1, 2, 2], 2)


def test_a_commit_larger_than_the_limit_is_one_page(store):
    do(store, *(Put(f"a{number}", b"") for number in range(5)))
    put(store, "b")

    found = store.changes(0, limit=2)
    assert (revisions(found), found.next_since) == ([1] * 5, 1)


def test_a_page_ends_before_the_commit_that_makes_it_too_large(store):
    for _ in range(15):
        put(store, "a", bytes(99))

    found = store.changes(0, include_values=True)
    assert revisions(found) == list(range(1, 11))
    assert found.next_since == 10
    assert len(store.changes(0).events) == 15


def test_an_expiry_is_an_event_before_the_next_write_of_the_key(store, clock):
    put(store, "a", ttl_s=1)
    clock.advance(2)
    put(store, "a")

    events = store.changes(0).events
    assert [(event.revision, event.kind, event.is_last) for event in events] == [
        (1, "put", True),
        (2, "expire", True),
        (3, "put", True),
    ]


def test_pages_of_every_size_are_the_same_feed(store):
    for number in range(20):
        do(store, *(Put(f"{number % 3}/{each}", b"%d" % number) for each in range(number % 4 + 1)))
    whole = store.changes(0).events

    for limit in (1, 2, 3, 7, 100):
        for prefix in ("", "1/", "2/1"):
            paged = list(follow(store, limit, prefix))
            wanted = [event for event in whole if event.key.startswith(prefix)]
            assert [event[:8] for event in paged] == [event[:8] for event in wanted]


def test_waiting_returns_at_once_if_there_is_something(store):
    put(store, "a")

    assert store.wait(0, PATIENCE_S) == 1


def test_waiting_ends_after_its_timeout(store):
    put(store, "a")

    assert store.wait(1, 0.05) == 1
    assert store.wait(1, 0) == 1


def test_waiting_ends_with_the_next_commit(store):
    put(store, "a")
    writing = threading.Timer(0.05, put, (store, "b"))
    writing.start()

    assert store.wait(1, PATIENCE_S) == 2
    writing.join()  # it may be seen before it is acknowledged


def test_threads_wait_at_the_same_time(store):
    found = []
    threads = [
        threading.Thread(target=lambda: found.append(store.wait(0, PATIENCE_S))) for _ in range(5)
    ]
    for thread in threads:
        thread.start()
    put(store, "a")
    for thread in threads:
        thread.join()

    assert found == [1] * 5


def revisions(changes):
    return [event.revision for event in changes.events]


def follow(store, limit, prefix):
    """Yield the events of all pages up to the head."""
    since, head = 0, store.stats().revision
    while since < head:
        page = store.changes(since, prefix=prefix, limit=limit)
        yield from page.events
        assert page.next_since > since
        since = page.next_since
