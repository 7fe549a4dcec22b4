"""Commits that wait for a synchronous standby that does not answer."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from rundlet_server.storage.errors import OutcomeUnknown, Unavailable
from rundlet_server.storage.postgres import connections
from rundlet_server.storage.postgres.failover import lifeline
from tests.support.backends import put, value
from tests.support.postgres import PostgresServer
from tests.support.processes.servers import wait_for

WAITING = "&options=-c%20synchronous_commit%3Don"
COMMIT = "SET synchronous_commit = on; SELECT pg_logical_emit_message(true, 'probe', '')"
CANCEL = "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'"


@pytest.fixture
def missing_standby(server) -> Iterator[PostgresServer]:
    """The server, whose commits with ``synchronous_commit`` wait for a standby that is not there.

    Other stores of the tests have it off.
    """
    server.execute("ALTER SYSTEM SET synchronous_standby_names = 'missing'")
    server.execute("SELECT pg_reload_conf()")
    wait_for(lambda: is_missed(server))
    yield server
    find_standby(server)


def is_missed(server: PostgresServer) -> bool:
    """Whether a commit waits for the standby by now; the one that finds out is cancelled."""
    with ThreadPoolExecutor(1) as pool:
        commit = pool.submit(server.execute, COMMIT)
        return wait_for(lambda: "ended" if commit.done() else server.execute(CANCEL)) != "ended"


def find_standby(server: PostgresServer) -> None:
    server.execute("ALTER SYSTEM RESET synchronous_standby_names")
    server.execute("SELECT pg_reload_conf()")


def test_commit_that_waits_for_a_standby_ends_as_unknown_and_reads_go_on(
    url, store, open_store, missing_standby, monkeypatch
):
    monkeypatch.setattr(lifeline, "SUSPICIOUS_S", 0.1)
    monkeypatch.setattr(lifeline, "STANDBY_S", 0.1)
    monkeypatch.setattr(connections, "_LOCKED_S", 1)
    waiting = open_store(url + WAITING)

    with pytest.raises(OutcomeUnknown):
        put(waiting, "a", b"1")
    with pytest.raises(Unavailable, match="lock timeout"):
        put(waiting, "a", b"2")
    assert value(waiting, "a") is None  # it is not visible while it waits
    find_standby(missing_standby)
    wait_for(lambda: value(waiting, "a") == b"1")
    assert put(waiting, "a", b"3").revision == 2


def test_commit_whose_wait_for_a_standby_is_cancelled_is_not_acknowledged(
    url, store, open_store, missing_standby
):
    waiting = open_store(url + WAITING)
    cancelling = threading.Thread(target=wait_for, args=[lambda: missing_standby.execute(CANCEL)])
    cancelling.start()

    with pytest.raises(OutcomeUnknown, match="standby"):
        put(waiting, "a", b"1")
    cancelling.join()
    assert value(store, "a") == b"1"
