"""Test that what clients see of each key is linearizable, over servers and under kills.

The tests plant each of the bugs that the checker is for, and show that it finds them.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import random
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

import pytest

from rundlet_server.storage.errors import Conflict
from rundlet_server.storage.interface import Add, Condition, Delete, Put, Txn
from rundlet_server.storage.log.store import LogStore
from rundlet_server.storage.opening import open_log_store
from rundlet_server.storage.settings import StoreSettings
from tests.support import PATIENCE_S
from tests.support.campaign import Campaign
from tests.support.disks.unsynced_files import UnsyncedFiles
from tests.support.models.linearizability import (
    Answer,
    NotDone,
    Operation,
    Recorder,
    Unknown,
    is_linearizable,
)
from tests.support.processes.killed_servers import Connection, in_threads
from tests.support.processes.servers import RundletServer, worker_pids

CLIENTS = 8
KEYS = 6
OPERATIONS = 250
PAUSE_S = 0.005
"""Between two operations of a client: so a round outlasts a kill, and not too much is unknown."""


def get(begun: float, ended: float, answer: str | None) -> Operation:
    return Operation(begun, ended, "get", answer=answer)


def put(begun: float, ended: float, value: str, *, is_known: bool = True) -> Operation:
    return Operation(begun, ended, "put", value, is_known=is_known)


@pytest.mark.parametrize(
    ("history", "is_right"),
    [
        ([], True),
        ([get(0, 1, None)], True),
        ([get(0, 1, "a")], False),
        ([put(0, 1, "a"), get(2, 3, "a")], True),
        ([put(0, 1, "a"), get(2, 3, None)], False),
        ([put(0, 5, "a"), get(1, 2, "a"), get(3, 4, "a")], True),
        ([put(0, 5, "a"), get(1, 2, None), get(3, 4, "a")], True),
        ([put(0, 5, "a"), get(1, 2, "a"), get(3, 4, None)], False),
        ([put(0, 3, "a"), put(1, 4, "b"), get(5, 6, "a"), get(7, 8, "b")], False),
        ([put(0, 9, "a", is_known=False), get(2, 3, None)], True),
        ([put(0, 9e9, "a", is_known=False), get(2, 3, "a"), get(4, 5, None)], False),
        ([Operation(0, 1, "add", "1", answer=1), Operation(2, 3, "add", "1", answer=3)], False),
        ([Operation(0, 1, "delete", answer=True)], False),
        ([put(0, 1, "a"), Operation(2, 3, "swap", "b", "x", answer=True)], False),
    ],
)
def test_checker_tells_right_from_wrong(history: list[Operation], is_right: bool):
    assert is_linearizable(history) == is_right


class Target(Protocol):
    """Operations on a store or a server, one client's; all may raise ``Unknown``, ``NotDone``."""

    def get(self, key: str) -> str | None: ...
    def put(self, key: str, value: str) -> None: ...
    def swap(self, key: str, expected: str | None, value: str) -> bool: ...
    def delete(self, key: str) -> bool: ...
    def add(self, key: str, by: str) -> int: ...


def act(target: Target, recorder: Recorder, choice: random.Random, key: str) -> None:
    """One random operation."""
    value = str(choice.randrange(1_000))
    match choice.choice(["get"] * 4 + ["put", "put", "swap", "delete", "add"]):
        case "get":
            recorder.do(key, "get", lambda: target.get(key))
        case "put":
            recorder.do(key, "put", lambda: target.put(key, value), value=value)
        case "delete":
            recorder.do(key, "delete", lambda: target.delete(key))
        case "add":
            recorder.do(key, "add", lambda: target.add(key, value), value=value)
        case "swap":
            seen = recorder.do(key, "get", lambda: target.get(key))
            expected = seen if isinstance(seen, str) else None
            recorder.do(
                key,
                "swap",
                lambda: target.swap(key, expected, value),
                value=value,
                expected=expected,
            )


class StoreTarget:
    """A store, asked directly."""

    def __init__(self, store: LogStore) -> None:
        self.store = store

    def get(self, key: str) -> str | None:
        entry = self.store.get(key)
        return entry.value.decode() if entry else None

    def put(self, key: str, value: str) -> None:
        self.store.commit(Txn([_put(key, value)]))

    def swap(self, key: str, expected: str | None, value: str) -> bool:
        entry = self.store.get(key)
        if (entry.value.decode() if entry else None) != expected:
            raise NotDone  # decided on a read of its own, so it tells nothing new
        condition = Condition(key, revisions=(entry.revision if entry else 0,))
        try:
            self.store.commit(Txn([_put(key, value)], [condition]))
        except Conflict:
            raise NotDone from None
        return True

    def delete(self, key: str) -> bool:
        return self.store.commit(Txn([Delete(key)])).results[0].found

    def add(self, key: str, by: str) -> int:
        return self.store.commit(Txn([Add(key, int(by))])).results[0].number or 0


def _put(key: str, value: str) -> Put:
    return Put(key, value.encode(), "text/plain")


class StaleReads(StoreTarget):
    """Bug: every tenth read is of what was there a moment ago."""

    def get(self, key: str) -> str | None:
        at = self.store.get_many([]).revision
        if at > 20 and at % 10 == 0:
            entry = self.store.get(key, at=at - 15)
            return entry.value.decode() if entry else None
        return super().get(key)


class LostWrites(StoreTarget):
    """Bug: now and then a write is acknowledged and not done."""

    def put(self, key: str, value: str) -> None:
        if not value.endswith("7"):
            super().put(key, value)


class DoubleApply(StoreTarget):
    """Bug: now and then an operation is done twice, as by a careless retry."""

    def add(self, key: str, by: str) -> int:
        if by.endswith("3"):
            super().add(key, by)
        return super().add(key, by)


class ReadBeforeDurable(StoreTarget):
    """Bug: a write is seen before it is durable, and then its sync fails."""

    unsynced: dict[str, str]

    def put(self, key: str, value: str) -> None:
        if not value.endswith("5"):
            super().put(key, value)
            return
        self.unsynced[key] = value
        time.sleep(0.002)
        self.unsynced.pop(key, None)
        raise NotDone

    def get(self, key: str) -> str | None:
        return self.unsynced.get(key) or super().get(key)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[LogStore]:
    settings = StoreSettings(sync="never", files=UnsyncedFiles(), segment_records_max=50)
    store = open_log_store(tmp_path / "data", settings)
    yield store
    store.close()


def run_clients(
    make: Callable[[], Target], *, seed: int, operations: int, keys: int = KEYS
) -> Recorder:
    recorder = Recorder()

    def work(number: int) -> None:
        choice = random.Random(seed * 100 + number)
        target = make()
        for _ in range(operations):
            act(target, recorder, choice, f"k{choice.randrange(keys)}")

    in_threads(work, CLIENTS)
    return recorder


def test_store_is_linearizable(store: LogStore):
    recorder = run_clients(lambda: StoreTarget(store), seed=1, operations=150)

    assert recorder.wrong_keys() == []
    assert recorder.operation_count > CLIENTS * 100


@pytest.mark.parametrize("bug", [StaleReads, LostWrites, DoubleApply, ReadBeforeDurable])
def test_planted_bug_is_found(store: LogStore, bug: type[StoreTarget]):
    unsynced: dict[str, str] = {}

    def make() -> StoreTarget:
        target = bug(store)
        if isinstance(target, ReadBeforeDurable):
            target.unsynced = unsynced
        return target

    recorder = run_clients(make, seed=1, operations=150, keys=2)

    assert recorder.wrong_keys() != []


class HttpTarget:
    """A server, over one connection that is made anew when it breaks."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._connection: Connection | None = None

    def get(self, key: str) -> str | None:
        answer = self._ask("GET", key)
        return answer.body.decode() if answer.status == 200 else None

    def put(self, key: str, value: str) -> None:
        self._ask("PUT", key, value.encode())

    def swap(self, key: str, expected: str | None, value: str) -> bool:
        seen = self._ask("GET", key)
        if (seen.body.decode() if seen.status == 200 else None) != expected:
            raise NotDone
        headers = {"If_Match": seen.headers["etag"]} if expected else {"If_None_Match": "*"}
        if self._ask("PUT", key, value.encode(), **headers).status == 412:
            raise NotDone
        return True

    def delete(self, key: str) -> bool:
        return self._ask("DELETE", key).status == 204

    def add(self, key: str, by: str) -> int:
        op = {"op": "add", "key": key, "by": int(by)}
        answer = self._try(lambda connection: connection.txn(op))
        return answer.json["results"][0]["number"]

    def _ask(self, method: str, key: str, body: bytes | None = None, **headers: str):
        if body is not None:
            headers["Content_Type"] = "text/plain"
        target = f"/v1/kv/{key}"
        return self._try(lambda connection: connection.ask(method, target, body, **headers))

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()

    def _try(self, ask: Callable[[Connection], Answer]):
        try:
            if self._connection is None:
                self._connection = Connection(self._port, timeout_s=PATIENCE_S)
            answer = ask(self._connection)
        except ConnectionRefusedError as ex:
            raise NotDone from ex
        except (OSError, http.client.HTTPException) as ex:
            if self._connection is not None:
                self._connection.close()
            self._connection = None
            raise Unknown from ex
        if answer.status in (503, 507):
            raise NotDone
        if answer.status == 504:
            raise Unknown
        assert answer.status in (200, 201, 204, 404, 412), answer
        return answer


def check_server(campaign: Campaign, rounds: Iterator[random.Random], folder: Path) -> None:
    """Clients of three workers, one of which is killed now and then."""
    options = ["--data", folder / "data", "--server", "granian", "--workers", "3"]
    with RundletServer(*options, "--threads", "4", stderr_path=folder / "log") as server:
        port = int(server.url.rpartition(":")[2])
        for choice in rounds:
            prefix = f"{campaign.seed}-"
            over = threading.Event()

            def kill(choice: random.Random = choice, over: threading.Event = over) -> None:
                while not over.wait(choice.uniform(0.5, 0.9)):
                    workers = worker_pids(server.process.pid)
                    if len(workers) == 3:
                        os.kill(choice.choice(workers), signal.SIGKILL)
                        campaign.count("kills")

            killer = threading.Thread(target=kill)
            killer.start()
            recorder = Recorder()

            def work(number: int, prefix: str = prefix, recorder: Recorder = recorder) -> None:
                own = random.Random(f"{prefix}{number}")
                with contextlib.closing(HttpTarget(port)) as target:
                    for _ in range(OPERATIONS):
                        act(target, recorder, own, f"{prefix}{own.randrange(KEYS)}")
                        time.sleep(PAUSE_S)

            try:
                in_threads(work, CLIENTS)
            finally:
                over.set()
                killer.join()
            campaign.count("operations", recorder.operation_count)
            assert recorder.wrong_keys() == []


@pytest.mark.slow
def test_workers_are_linearizable_under_kills(campaign: Campaign, tmp_path: Path):
    check_server(campaign, campaign.rounds(2), tmp_path)

    assert campaign.faults["operations"] > 500
    assert campaign.faults["kills"] > 0


@pytest.mark.soak
def test_workers_are_linearizable_under_kills_for_long(campaign: Campaign, tmp_path: Path):
    check_server(campaign, campaign.rounds(), tmp_path)
