"""What a failure of the database or of the connection leaves behind, and what it is called."""

from __future__ import annotations

import contextlib
import threading

import psycopg
import pytest

from rundlet_server.storage.address import StoreAddress
from rundlet_server.storage.errors import (
    InvalidOperation,
    InvalidRequest,
    OutcomeUnknown,
    ReadOnly,
    Unavailable,
    UnknownFormat,
)
from rundlet_server.storage.interface import Add
from rundlet_server.storage.postgres.failover import lifeline
from rundlet_server.storage.postgres.store import PostgresStore
from rundlet_server.storage.settings import StoreSettings
from tests.support.backends import do, put, value
from tests.support.cutting_proxy import CuttingProxy
from tests.support.processes.servers import wait_for


@pytest.fixture
def proxy(server, monkeypatch):
    """A proxy before the database."""
    monkeypatch.setattr(lifeline, "SUSPICIOUS_S", 0.1)
    with CuttingProxy(server.port) as proxy:
        yield proxy


@pytest.fixture
def cut_store(proxy, server, url, open_store):
    """The store at ``url``, reached through the proxy."""
    return open_store(url.replace(f":{server.port}", f":{proxy.port}"))


@pytest.fixture
def given_up_store(cut_store, monkeypatch):
    """The same, which gives up soon if the database is away."""
    monkeypatch.setattr(cut_store._connections._pool, "timeout", 1.0)
    return cut_store


def test_commit_that_reached_the_database_has_an_unknown_outcome(cut_store, proxy, store):
    put(cut_store, "a", b"1")
    proxy.at, proxy.cut = b"COMMIT\0", "after"

    with pytest.raises(OutcomeUnknown) as caught:
        put(cut_store, "a", b"2")
    assert isinstance(caught.value.__cause__, psycopg.OperationalError)
    assert value(store, "a") == b"2"
    assert proxy.cuts == 1


def test_commit_that_did_not_reach_the_database_has_an_unknown_outcome_too(cut_store, proxy, store):
    put(cut_store, "a", b"1")
    proxy.at = b"COMMIT\0"

    with pytest.raises(OutcomeUnknown):
        put(cut_store, "a", b"2")
    assert value(store, "a") == b"1"
    assert proxy.cuts == 1


def test_connection_that_breaks_before_commit_is_replaced_and_the_write_done(cut_store, proxy):
    put(cut_store, "a", b"1")
    proxy.cut_all()

    assert do(cut_store, Add("n", 1)).results[0].number == 1
    proxy.cut_all()
    assert value(cut_store, "a") == b"1"


def test_database_that_is_away_is_unavailable_and_comes_back(given_up_store, proxy):
    put(given_up_store, "a", b"1")
    proxy.is_open = False
    proxy.cut_all()

    with pytest.raises(Unavailable):
        put(given_up_store, "a", b"2")
    with pytest.raises(Unavailable):
        given_up_store.get("a")
    assert given_up_store.health().reasons
    proxy.is_open = True
    wait_for(lambda: not given_up_store.health().reasons)
    assert value(given_up_store, "a") == b"1"
    assert put(given_up_store, "a", b"3").revision == 2


def test_database_that_is_frozen_is_unavailable_and_comes_back(given_up_store, proxy):
    put(given_up_store, "a", b"1")
    proxy.is_frozen = True

    with pytest.raises(Unavailable):
        given_up_store.get("a")
    proxy.is_frozen = False
    wait_for(lambda: not given_up_store.health().reasons)
    assert put(given_up_store, "a", b"2").revision == 2


def test_commit_that_a_frozen_database_does_not_answer_has_an_unknown_outcome(
    given_up_store, proxy, store
):
    put(given_up_store, "a", b"1")
    proxy.at, proxy.cut = b"COMMIT\0", "freeze"

    with pytest.raises(OutcomeUnknown):
        put(given_up_store, "a", b"2")
    assert value(store, "a") == b"1"
    proxy.is_frozen = False


def test_fault_of_ours_is_raised_as_it_is(store):
    with pytest.raises(psycopg.ProgrammingError, match="no_such_column") as caught:
        store._connections.rows("SELECT no_such_column")

    assert caught.value.__cause__ is None
    assert not caught.value.__suppress_context__


def test_statement_that_only_takes_long_is_left_alone(store, server, url, monkeypatch):
    monkeypatch.setattr(lifeline, "SUSPICIOUS_S", 0.1)
    monkeypatch.setattr(lifeline, "LOOK_EVERY_S", 0.05)

    assert store._connections.rows("SELECT 1 FROM pg_sleep(2.5)") == [(1,)]


def test_connection_that_is_lent_again_at_once_stays_watched(store, monkeypatch):
    connections, pool = store._connections, store._connections._pool
    put_back = pool.putconn
    with contextlib.ExitStack() as lent:

        def put_back_and_lend(link):
            monkeypatch.setattr(pool, "putconn", put_back)
            put_back(link)
            lent.enter_context(connections.connection())

        monkeypatch.setattr(pool, "putconn", put_back_and_lend)
        with connections.connection() as link:
            pass

        assert list(connections._lifeline._busy) == [link]


def test_transaction_that_another_one_stopped_is_done_again(store, server, url):
    schema = url.partition("schema=")[2]
    put(store, "a", b"1")
    done = threading.Event()

    def writes() -> None:
        put(store, "a", b"2")
        done.set()

    with psycopg.connect(server.conninfo) as blocker:
        blocker.execute(f"SELECT * FROM {schema}.meta FOR UPDATE")
        thread = threading.Thread(target=writes)
        thread.start()
        [(pid,)] = wait_for_lock(server)
        server.execute(f"SELECT pg_terminate_backend({pid})")  # before COMMIT: certainly nothing
    thread.join()

    assert done.is_set()
    assert store.get("a")[1:4] == (b"2", 2, 2)


def test_tables_that_were_dropped_make_the_store_unavailable(store, server, url):
    server.execute(f"DROP SCHEMA {url.partition('schema=')[2]} CASCADE")

    with pytest.raises(Unavailable, match="tables"):
        store.get("a")
    with pytest.raises(Unavailable, match="tables"):
        put(store, "a")


def test_tables_of_a_later_release_are_refused(store, open_store, server, url):
    server.execute(f"UPDATE {url.partition('schema=')[2]}.meta SET format = 99")

    with pytest.raises(UnknownFormat, match="format 99"):
        open_store()


def test_store_that_is_only_read_is_not_created(open_store, server, url):
    with pytest.raises(ReadOnly):
        open_store(is_read_only=True)
    schema = url.partition("schema=")[2]
    assert server.execute(f"SELECT 1 FROM pg_namespace WHERE nspname = '{schema}'") == []


def test_store_that_does_not_open_leaves_no_connection(url):
    store = PostgresStore.__new__(PostgresStore)

    with pytest.raises(InvalidRequest, match="keep_versions"):
        store.__init__(StoreAddress.parse(url), StoreSettings(keep_versions=0))
    with pytest.raises(Unavailable):
        store.stats()
    assert not store._connections._lifeline._thread.is_alive()


def test_content_type_that_no_column_holds_is_refused(store):
    with pytest.raises(InvalidOperation, match="NUL"):
        put(store, "a", content_type="text/\0plain")

    assert store.stats().revision == 0


def wait_for_lock(server):
    """Wait until a connection waits for a row, and return its process number."""
    waiting = "SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
    return wait_for(lambda: server.execute(waiting))
