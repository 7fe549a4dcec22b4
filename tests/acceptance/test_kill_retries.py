"""Test that a write is done once, although its client is never answered and sends it again.

Callers give each write an ``Idempotency-Key``. They lose answers, because they hang up before one
comes and because the server is killed; then they send the same request again until it is answered.
"""

from __future__ import annotations

import contextlib
import http.client
import random
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import pytest

from rundlet import Client
from tests.support.campaign import Campaign
from tests.support.processes.killed_servers import (
    GRANIAN,
    WAITRESS,
    Answer,
    Connection,
    connect,
    kill_whole,
    port_of,
    start,
)
from tests.support.processes.servers import RundletServer, free_port, wait_for

CALLERS = 4
ADDITION = b'{"then": [{"op": "add", "key": "sum"}]}'
JSON = "application/json"


class Write(NamedTuple):
    """A request, and the status that it has if it is done once: a second time it would not."""

    method: str
    target: str
    status: int
    body: bytes | None = None
    headers: dict[str, str] = {}  # noqa: RUF012 - never changed


class Caller:
    """One client, whose requests follow from its seed.

    Attributes:
        numbers: the sums that additions returned.
        counts: how often what happened.
        wrong: answers that only a write which is done twice, or not at all, can have.
    """

    def __init__(self, number: int, *, has_keys: bool = True) -> None:
        self.numbers: list[int] = []
        self.counts = {"answers": 0, "hang-ups": 0, "breaks": 0, "replays": 0}
        self.wrong: list[str] = []
        self._number = number
        self._has_keys = has_keys
        self._count = 0
        self._open: tuple[str, Write] | None = None

    def call_until(self, over: threading.Event, port: int, chance: random.Random) -> None:
        """Write until the server is gone, or it is enough."""
        while not over.is_set():
            with contextlib.suppress(OSError, http.client.HTTPException), Connection(port) as own:
                while not over.is_set():
                    self.call(own, is_hung_up=chance.random() < 0.1)
            time.sleep(0.01)

    def call(self, own: Connection, *, is_hung_up: bool = False) -> None:
        """Send the write that has no answer yet, or else the next one."""
        if self._open is None:
            self._count += 1
            self._open = (f"{self._number}-{self._count}", self._next())
        key, write = self._open
        headers = write.headers | ({"Idempotency-Key": key} if self._has_keys else {})
        if is_hung_up:
            self.counts["hang-ups"] += 1
            own.hang_up(write.method, write.target, write.body, **headers)
        try:
            answer = own.ask(write.method, write.target, write.body, **headers)
        except (OSError, http.client.HTTPException):
            self.counts["breaks"] += 1
            raise
        self._take(write, answer)

    def _take(self, write: Write, answer: Answer) -> None:
        self.counts["answers"] += 1
        self.counts["replays"] += "idempotency-replayed" in answer.headers
        if answer.status != write.status:
            self.wrong.append(f"{write.method} {write.target}: {answer.status} {answer.body!r}")
        elif write.body is ADDITION:
            self.numbers.append(answer.json["results"][0]["number"])
        self._open = None

    def _next(self) -> Write:
        """Add to the sum all share, create a key, delete it, create it, delete it by its prefix."""
        place = f"mine/{self._number}/{self._count // 5}"
        target = f"/v1/kv/{place}"
        create = Write("PUT", target, 201, b"v", {"If-None-Match": "*"})
        return (
            Write("POST", "/v1/txn", 200, ADDITION, {"Content-Type": JSON}),
            create,
            Write("DELETE", target, 204),
            create,
            Write("DELETE", f"/v1/keys?prefix={place}&expect=1", 200),
        )[self._count % 5]


@pytest.mark.parametrize(
    ("options", "rounds"), [(WAITRESS, 2), (GRANIAN, 2)], ids=["waitress", "granian"]
)
def test_writes_that_are_sent_again_after_kill_9_are_done_once(
    campaign: Campaign, tmp_path: Path, options: tuple[str, ...], rounds: int
):
    kill_callers(campaign, campaign.rounds(rounds), tmp_path, options)


@pytest.mark.soak
@pytest.mark.parametrize("options", [WAITRESS, GRANIAN], ids=["waitress", "granian"])
def test_writes_that_are_sent_again_after_kill_9_are_done_once_for_long(
    campaign: Campaign, tmp_path: Path, options: tuple[str, ...]
):
    kill_callers(campaign, campaign.rounds(), tmp_path, options)


def kill_callers(
    campaign: Campaign, rounds: Iterator[random.Random], folder: Path, options: tuple[str, ...]
) -> None:
    """Kill a server under its callers, again and again."""
    callers = [Caller(number) for number in range(CALLERS)]
    for chance in rounds:
        with start(folder, *options) as server, calling(server, callers, chance):
            time.sleep(chance.uniform(0.1, 0.6))
            wait_for(lambda: sum(caller.counts["replays"] for caller in callers) > 0)
            kill_whole(server)
            campaign.count("kills of everything")
    with start(folder, *options) as server, connect(server) as connection:
        check(callers, connection)
    for caller in callers:
        for what, count in caller.counts.items():
            campaign.count(what, count)


def check(callers: list[Caller], connection: Connection) -> None:
    """Assert that every write was done once, after the last one is sent again."""
    for caller in callers:
        caller.call(connection)
    added = int(connection.ask("GET", "/v1/kv/sum").body)
    assert [each for caller in callers for each in caller.wrong] == []
    assert sorted(each for caller in callers for each in caller.numbers) == list(
        range(1, added + 1)
    )


@contextlib.contextmanager
def calling(server: RundletServer, callers: list[Caller], chance: random.Random) -> Iterator[None]:
    """Each caller writes in a thread of its own meanwhile; an error of one is raised here."""
    over = threading.Event()
    with ThreadPoolExecutor(len(callers)) as pool:
        running = [
            pool.submit(caller.call_until, over, port_of(server), random.Random(chance.random()))
            for caller in callers
        ]
        try:
            yield
        finally:
            over.set()
        for caller in running:
            caller.result()


def test_writes_that_are_sent_again_without_a_key_are_found(tmp_path: Path):
    callers = [Caller(number, has_keys=False) for number in range(CALLERS)]
    with start(tmp_path, *WAITRESS) as server, connect(server) as connection:
        for caller in callers:
            for place in range(15):
                with contextlib.suppress(ConnectionAbortedError):
                    caller.call(connection, is_hung_up=place % 2 == 0)

        with pytest.raises(AssertionError):
            check(callers, connection)


def test_a_client_with_idempotent_retries_counts_through_kill_9(campaign: Campaign, tmp_path: Path):
    port = str(free_port())
    over = threading.Event()

    def count(client: Client) -> list[int]:
        numbers = []
        while not over.is_set():
            numbers.append(client.incr("sum"))
        return numbers

    with (
        Client(f"http://127.0.0.1:{port}", retries=30, idempotent_retries=True) as client,
        ThreadPoolExecutor(CALLERS) as pool,
    ):
        running = [pool.submit(count, client) for _ in range(CALLERS)]
        try:
            for chance in campaign.rounds(3):
                with start(tmp_path, *WAITRESS, "--port", port) as server:
                    time.sleep(chance.uniform(0.2, 0.5))
                    kill_whole(server)
                    campaign.count("kills of everything")
        finally:
            over.set()
        with start(tmp_path, *WAITRESS, "--port", port):
            numbers = [each for caller in running for each in caller.result()]

    campaign.count("answers", len(numbers))
    assert sorted(numbers) == list(range(1, len(numbers) + 1))
