"""A database that fails over: no revision is given out twice, and what is lost is told."""

from __future__ import annotations

import pytest

from rundlet_server.storage.errors import Compacted, Conflict, InvalidOperation, Unavailable
from rundlet_server.storage.interface import Condition, Put, Restore, Txn
from rundlet_server.storage.postgres import connections
from rundlet_server.storage.postgres.failover import lives
from rundlet_server.storage.postgres.failover.lives import REVISION_GAP
from tests.support import PATIENCE_S
from tests.support.backends import do, put, value
from tests.support.processes.servers import wait_for


@pytest.fixture
def timeline(monkeypatch) -> list[str]:
    """The timeline of the database; replace it to have the database fail over."""
    now = ["1/0001"]
    monkeypatch.setattr(lives, "timeline_of", lambda _: now[0])
    return now


@pytest.fixture
def lose(server, url):
    """Ends all connections to the store, and takes it back to a revision."""
    schema = url.partition("schema=")[2]

    def do_lose(head: int) -> None:
        server.execute(
            f"SELECT pg_terminate_backend(pid, {round(PATIENCE_S * 1_000)}) FROM pg_stat_activity"
            " WHERE application_name = 'rundlet'"
        )
        server.execute(f"DELETE FROM {schema}.kv WHERE rev > {head}")
        server.execute(f"UPDATE {schema}.kv SET end_rev = NULL WHERE end_rev > {head}")
        server.execute(f"DELETE FROM {schema}.commits WHERE rev > {head}")
        server.execute(f"UPDATE {schema}.meta SET rev = {head} WHERE rev > {head}")

    return do_lose


def test_failover_that_lost_nothing_changes_no_reader(timeline, open_store, lose):
    store = open_store()
    for number in range(3):
        put(store, "a", b"%d" % number)
    timeline[0] = "1/0002"
    lose(3)

    assert value(store, "a") == b"2"
    written = do(store, Put("a", b"3")).revision
    assert written == 3 + REVISION_GAP + 1
    assert [event.revision for event in store.changes(2).events] == [3, written]
    assert value(store, "a", at=3) == value(store, "a", at=written - 1) == b"2"
    assert store.health().warnings == []


def test_revisions_that_a_failover_lost_are_told_and_never_given_out_again(
    timeline, open_store, lose
):
    store, other = open_store(), open_store()
    for number in range(5):
        put(store, "a", b"%d" % number)
    timeline[0] = "1/0002"
    lose(3)

    assert value(store, "a") == b"2"
    assert put(other, "b").revision == 5 + REVISION_GAP + 1
    for each in (store, other):
        for read in (each.changes, lambda at, each=each: each.get("a", at=at)):
            with pytest.raises(Compacted, match="restored as it was at revision 3"):
                read(5)
        with pytest.raises(Compacted), each.hold(4):
            pass
        with pytest.raises(InvalidOperation):
            do(each, Restore("a", revision=5))
        with pytest.raises(Conflict):
            each.commit(Txn([Put("a", b"x")], [Condition("a", revisions=(5,))]))
    assert "the last 2 revisions" in store.health().warnings[0]
    assert store.gauges()["lives"].value == 2


def test_store_that_went_back_on_the_same_timeline_is_noticed(timeline, open_store, lose):
    store = open_store()
    for _ in range(5):
        put(store, "a")
    lose(3)

    assert put(store, "a").revision == 5 + REVISION_GAP + 1
    assert store.health().warnings


def test_primary_that_was_replaced_is_refused(timeline, open_store, lose, monkeypatch):
    monkeypatch.setattr(connections, "_WAIT_S", 1.0)
    store = open_store()
    put(store, "a", b"1")
    timeline[0] = "1/0002"
    lose(1)
    put(store, "a", b"2")
    timeline[0] = "1/0001"
    lose(1 << 60)

    with pytest.raises(Unavailable):
        put(store, "a", b"3")
    timeline[0] = "1/0003"
    wait_for(lambda: not store.health().reasons)
    assert value(store, "a") == b"2"


def test_read_only_store_begins_no_life(timeline, open_store, lose):
    open_store()
    timeline[0] = "1/0002"
    lose(0)

    assert open_store(is_read_only=True).stats().revision == 0
    assert open_store().stats().revision == REVISION_GAP
