"""A primary and a standby of PostgreSQL under faults, with an operator who promotes the standby.

With a synchronous standby nothing acknowledged is lost. With an asynchronous one the same fault
loses writes: without that control the tests would prove nothing.
"""

from __future__ import annotations

import contextlib
import itertools
import signal
import threading
import time
from collections.abc import Iterator

import pytest

from rundlet_server.storage.address import StoreAddress
from rundlet_server.storage.errors import Compacted, StoreError
from rundlet_server.storage.interface import Store
from rundlet_server.storage.opening import open_store
from rundlet_server.storage.postgres.failover.lives import REVISION_GAP
from tests.cluster.load import (
    BACK_S,
    WRITERS,
    FailingTarget,
    Following,
    Load,
    check,
    everything,
    lost_writes,
    writing,
)
from tests.faults.test_linearizability import run_clients
from tests.support.backends import put, value
from tests.support.postgres import PostgresPair
from tests.support.processes.servers import RundletServer, wait_for

pytestmark = pytest.mark.cluster


@pytest.fixture
def pair() -> Iterator[PostgresPair]:
    """A primary, and a standby that every commit waits for."""
    with contextlib.closing(PostgresPair(is_synchronous=True)) as pair:
        yield pair


@pytest.fixture
def lossy_pair() -> Iterator[PostgresPair]:
    """A primary, and a standby that no commit waits for."""
    with contextlib.closing(PostgresPair(is_synchronous=False)) as pair:
        yield pair


@contextlib.contextmanager
def reopened(pair: PostgresPair) -> Iterator[Store]:
    with contextlib.closing(open_store(StoreAddress.parse(pair.url))) as store:
        yield store


def kill_primary(pair: PostgresPair) -> None:
    pair.primary.kill()


def freeze_primary(pair: PostgresPair) -> None:
    pair.primary.send(signal.SIGSTOP)


@pytest.mark.parametrize("fault", [kill_primary, freeze_primary])
def test_the_standby_takes_over(pair, fault, tell):
    with writing(pair.url) as (load, stores):
        followed = Following(stores[0])
        begun_s = time.monotonic()
        fault(pair)
        pair.standby.promote()
        back_s = load.wait_for_writes(begun_s)
        assert back_s < BACK_S
        assert value(stores[1], "0/0") == b"0"
    with reopened(pair) as store:
        check(load, store)
    followed.check(load)
    tell(f"back after {back_s:.1f} s, {len(load.acknowledged)} acknowledged, none lost")


def pause_standby_and_kill_both(pair: PostgresPair, load: Load) -> int:
    """Stop the standby, kill the primary 3 s later, and promote what the standby has then.

    The standby is killed, too, so that it does not read what waits in its sockets. Return how many
    writes were acknowledged while it was stopped.
    """
    pair.standby.send(signal.SIGSTOP)
    acknowledged = len(load.acknowledged)
    time.sleep(3)
    meanwhile = len(load.acknowledged) - acknowledged
    pair.primary.kill()
    pair.standby.kill()
    pair.standby.start()
    pair.standby.promote()
    return meanwhile


def test_a_standby_that_pauses_before_the_primary_dies_has_everything(pair, tell):
    with writing(pair.url) as (load, _):
        # What was in flight may still be acknowledged; without the standby, nothing new is.
        assert pause_standby_and_kill_both(pair, load) <= WRITERS
        assert load.wait_for_writes(time.monotonic()) < BACK_S
    with reopened(pair) as store:
        check(load, store)
    tell(f"{len(load.acknowledged)} acknowledged, none lost")


def test_an_asynchronous_standby_loses_acknowledged_writes(lossy_pair, tell):
    with writing(lossy_pair.url) as (load, stores):
        before = stores[0].stats().revision
        assert pause_standby_and_kill_both(lossy_pair, load) > WRITERS
        assert load.wait_for_writes(time.monotonic()) < BACK_S
        assert all("has lost the last" in str(store.health().warnings) for store in stores)

    with reopened(lossy_pair) as store:
        lost = lost_writes(load, everything(store))
        assert lost
        revisions = [revision for _, revision in load.acknowledged.values()]
        assert len(set(revisions)) == len(revisions)  # none was given out again
        last = max(load.acknowledged[key][1] for key in lost)
        assert store.changes(before).events  # a reader of what was kept goes on
        for read in (store.changes, lambda at: store.get("0/0", at=at)):
            with pytest.raises(Compacted, match="restored"):
                read(last)
    tell(f"{len(lost)} of {len(load.acknowledged)} acknowledged writes lost, as they must be")


def test_a_primary_that_comes_back_is_left_alone(pair):
    with writing(pair.url) as (load, stores):
        freeze_primary(pair)
        pair.standby.promote()
        assert load.wait_for_writes(time.monotonic()) < BACK_S
        pair.primary.send(signal.SIGCONT)
        with reopened(pair) as store:
            assert put(store, "late", b"1").revision > REVISION_GAP
        for store in stores:
            assert value(store, "late") == b"1"


def test_both_may_be_killed_and_started_again(pair):
    with writing(pair.url) as (load, stores):
        followed = Following(stores[0])
        for server in pair.servers:
            server.kill()
        with pytest.raises(StoreError):
            stores[0].get("0/0")
        wait_for(lambda: load.refused, 2 * BACK_S)  # there is no server, so certainly not applied
        begun_s = time.monotonic()
        for server in pair.servers:
            server.start()
        assert load.wait_for_writes(begun_s) < BACK_S
    with reopened(pair) as store:
        check(load, store)
    followed.check(load)


@pytest.mark.parametrize("fault", [kill_primary, freeze_primary])
def test_what_clients_see_through_a_failover_is_linearizable(pair, fault):
    opened = [open_store(StoreAddress.parse(pair.url)) for _ in range(2)]
    stores = itertools.cycle(opened)

    def fail_over() -> None:
        fault(pair)
        pair.standby.promote()

    timer = threading.Timer(0.5, fail_over)
    timer.start()

    recorder = run_clients(lambda: FailingTarget(next(stores)), seed=1, operations=400)
    timer.join()

    assert recorder.wrong_keys() == []
    for store in opened:
        store.close()


def test_answers_over_http_say_what_may_have_been_applied(pair, tmp_path):
    with RundletServer("--store", pair.url, stderr_path=tmp_path / "stderr") as server:

        def put_status(content: str) -> tuple[int, str | None]:
            answer = server.client.put("/v1/kv/a", content=content)
            return answer.status_code, answer.headers.get("Retry-After")

        assert put_status("1") == (201, None)
        pair.standby.send(signal.SIGSTOP)
        assert put_status("2") == (504, None)  # it waits for the standby
        assert put_status("3") == (503, "1")  # the one before has locked the store
        assert server.client.get("/v1/kv/a").text == "1"
        pair.standby.send(signal.SIGCONT)
        wait_for(lambda: server.client.get("/v1/kv/a").text == "2")

        pair.primary.kill()
        assert put_status("3") == (503, "1")
        assert server.client.get("/readyz").status_code == 503
        pair.standby.promote()
        wait_for(lambda: put_status("4") == (204, None))
        assert server.client.get("/v1/history/a").json()["versions"][-1]["revision"] == 1
