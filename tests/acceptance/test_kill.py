"""Test that a server survives ``kill -9`` of all or one of its processes under load (T9)."""

from __future__ import annotations

import base64
import contextlib
import http.client
import os
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import pytest

from tests.support.processes.killed_servers import (
    GRANIAN,
    WAITRESS,
    Connection,
    connect,
    kill_whole,
    port_of,
    processes_of,
    start,
)

WRITERS = 6
KEYS_EACH = 20
START_MAX_S = 15  # a machine under load; the point is that it is not minutes


@dataclass
class Writer:
    """One client that remembers what was answered, and what it asked for in vain.

    Attributes:
        answered: the number that each key certainly reached.
        asked: the number that each key was sent last.
        pair_answered: the same of the transaction on two keys.
        added: how many additions were answered.
        lost: how many requests had no answer.
    """

    number: int
    answered: dict[str, int] = field(default_factory=dict)
    asked: dict[str, int] = field(default_factory=dict)
    pair_answered: int = 0
    pair_asked: int = 0
    added: int = 0
    lost: int = 0
    count: int = 0

    def write_until(self, over: threading.Event, port: int, refused: list[str]) -> None:
        """Write; when the connection breaks, look what is there, and go on."""
        while not over.is_set():
            with contextlib.suppress(OSError, http.client.HTTPException), Connection(port) as own:
                self.check(own)
                while not over.is_set():
                    self._write_once(own, refused)
            time.sleep(0.02)  # the worker, or the server, is gone

    def _write_once(self, connection: Connection, refused: list[str]) -> None:
        self.count += 1
        count = self.count
        kind = count % 3
        if kind == 0:
            key = f"w{self.number}/{count % KEYS_EACH}"
            self.asked[key] = count
            answer = connection.ask("PUT", f"/v1/kv/{key}", b"%d" % count + b"." * (count % 3_000))
            self.answered[key] = count
        elif kind == 1:
            self.pair_asked = count
            texts = [f"pair{self.number}/a", f"pair{self.number}/b"]
            answer = connection.txn(*({"op": "put", "key": k, "text": str(count)} for k in texts))
            self.pair_answered = count
        else:
            self.lost += 1
            answer = connection.txn({"op": "add", "key": "sum"})
            self.added += 1
            self.lost -= 1
        if answer.status // 100 != 2:
            refused.append(f"{answer.status} {answer.body!r}")

    def check(self, connection: Connection) -> None:
        keys = list(self.asked)
        if keys:
            items = connection.send("/v1/mget", {"keys": keys}).json["items"]
            for key, item in zip(keys, items, strict=True):
                wanted = {self.answered.get(key), self.asked[key]}
                assert number_in(item) in wanted, key
                self.answered[key] = number_in(item)
        pair = [f"pair{self.number}/a", f"pair{self.number}/b"]
        first, second = connection.send("/v1/mget", {"keys": pair}).json["items"]
        assert number_in(first) == number_in(second)
        assert (number_in(first) or 0) in {self.pair_answered, self.pair_asked}
        self.pair_answered = number_in(first) or 0


def number_in(item) -> int | None:
    """The number at the start of a value."""
    if not item["found"]:
        return None
    value = item["text"].encode() if "text" in item else base64.b64decode(item["base64"])
    return int(value.rstrip(b"."))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "rounds"), [(WAITRESS, 4), (GRANIAN, 11)], ids=["waitress", "granian"]
)
def test_what_was_answered_survives_kill_9_of_everything(campaign, tmp_path, options, rounds):
    crash_rounds(campaign, campaign.rounds(rounds), tmp_path, options)


@pytest.mark.soak
@pytest.mark.parametrize("options", [WAITRESS, GRANIAN], ids=["waitress", "granian"])
def test_what_was_answered_survives_kills_of_anything_for_long(campaign, tmp_path, options):
    crash_rounds(campaign, campaign.rounds(), tmp_path, options, children_max=8)


def crash_rounds(campaign, rounds, folder, options, children_max=0) -> None:
    """Kill a server under six writers, again and again; before that, some of its children."""
    writers = [Writer(number) for number in range(WRITERS)]
    refused: list[str] = []
    start_times_s = []
    for chance in rounds:
        started_s = time.monotonic()
        with start(folder, *options) as server:
            start_times_s.append(time.monotonic() - started_s)
            with connect(server) as connection:
                check(writers, connection)
            with writing(server, writers, refused):
                for _ in range(chance.randint(0, children_max)):
                    kill_child(campaign, server, chance)
                work_for(server, chance.uniform(0.05, 0.8))
                kill_whole(server)
                campaign.count("kills of everything")
        assert refused == []
    with start(folder, *options) as server, connect(server) as connection:
        check(writers, connection)
    campaign.count("answers", sum(writer.count - writer.lost for writer in writers))
    assert max(start_times_s) < START_MAX_S


def check(writers, connection) -> None:
    for writer in writers:
        writer.check(connection)
    item = connection.send("/v1/mget", {"keys": ["sum"]}).json["items"][0]
    added = sum(writer.added for writer in writers)
    lost = sum(writer.lost for writer in writers)
    assert added <= (number_in(item) or 0) <= added + lost


@contextlib.contextmanager
def writing(server, writers, refused):
    """Each writer writes in a thread of its own meanwhile; an error of one is raised here."""
    over = threading.Event()
    with ThreadPoolExecutor(len(writers)) as pool:
        port = port_of(server)
        running = [pool.submit(writer.write_until, over, port, refused) for writer in writers]
        try:
            yield
        finally:
            over.set()
        for writer in running:
            writer.result()


def work_for(server, seconds) -> None:
    """Let the writers write, and have it compacted."""
    time.sleep(seconds / 2)
    # The worker that is asked may have been killed just now.
    with contextlib.suppress(OSError, http.client.HTTPException), connect(server) as connection:
        connection.ask("POST", "/v1/admin/compact")
    time.sleep(seconds / 2)


def kill_child(campaign, server, chance) -> None:
    """``kill -9`` of a worker, or of the process that looks after the folder."""
    work_for(server, chance.uniform(0.05, 0.4))
    victims = processes_of(server.process.pid)[1:]
    if victims:
        with contextlib.suppress(ProcessLookupError):
            os.kill(chance.choice(victims), signal.SIGKILL)
        campaign.count("kills of a child")
