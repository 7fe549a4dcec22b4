"""``kill -9`` of a whole server under load, over and over."""

from __future__ import annotations

import base64
import http.client
import random
import threading
import time
from dataclasses import dataclass, field

import pytest

from tests.acceptance import GRANIAN, WAITRESS, Connection, connect, kill_whole, port_of, start

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

    def write_until_it_fails(self, port: int, refused: list[str]) -> None:
        try:
            with Connection(port) as connection:
                while True:
                    self._write_once(connection, refused)
        except (OSError, http.client.HTTPException):
            return  # the server is gone

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


def number_in(item) -> int | None:
    """The number at the start of a value."""
    if not item["found"]:
        return None
    value = item["text"].encode() if "text" in item else base64.b64decode(item["base64"])
    return int(value.rstrip(b"."))


@pytest.mark.parametrize(
    ("options", "rounds"), [(WAITRESS, 4), (GRANIAN, 11)], ids=["waitress", "granian"]
)
def test_what_was_answered_survives_kill_9_of_everything(tmp_path, options, rounds):
    crash_rounds(tmp_path, options, rounds, random.Random(rounds))


def crash_rounds(folder, options, rounds, chance) -> list[float]:
    """Kill a server under six writers, again and again; how long each start took, in seconds."""
    writers = [Writer(number) for number in range(WRITERS)]
    refused: list[str] = []
    start_times_s = []
    for _ in range(rounds + 1):
        started_s = time.monotonic()
        with start(folder, *options) as server:
            start_times_s.append(time.monotonic() - started_s)
            with connect(server) as connection:
                check(writers, connection)
            if len(start_times_s) > rounds:
                break
            write_and_kill(server, writers, refused, chance.uniform(0.05, 0.8))
        assert refused == []
    assert max(start_times_s) < START_MAX_S
    return start_times_s


def check(writers, connection) -> None:
    for writer in writers:
        writer.check(connection)
    item = connection.send("/v1/mget", {"keys": ["sum"]}).json["items"][0]
    added = sum(writer.added for writer in writers)
    lost = sum(writer.lost for writer in writers)
    assert added <= (number_in(item) or 0) <= added + lost


def write_and_kill(server, writers, refused, seconds) -> None:
    port = port_of(server)
    threads = [
        threading.Thread(target=writer.write_until_it_fails, args=(port, refused))
        for writer in writers
    ]
    for thread in threads:
        thread.start()
    with connect(server) as connection:
        time.sleep(seconds / 2)
        connection.ask("POST", "/v1/admin/compact")
        time.sleep(seconds / 2)
    kill_whole(server)
    for thread in threads:
        thread.join()
