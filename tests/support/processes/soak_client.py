"""A client of the soak test, which reads and writes in every way and knows the right values."""

from __future__ import annotations

import base64
import http.client
import random
import threading
import time
from typing import Final

from tests.support.processes.killed_servers import Answer, Connection

KEYS_EACH: Final = 40
SIZES: Final = [0, 10, 1_000, 20_000]
REFUSED: Final = (503, 507)
"""Certainly not applied."""
UNKNOWN: Final = 504


class SoakClient:
    """Reads and writes keys that no other client writes; its worker may be killed at any time.

    Attributes:
        held: the certain value of each key.
        counts: the number of requests by outcome.
    """

    def __init__(self, number: int, seed: int) -> None:
        self.held: dict[str, bytes] = {}
        self.counts = {"answers": 0, "refusals": 0, "requests without an answer": 0}
        self._prefix = f"soak {number}/"
        self._chance = random.Random(f"{seed} {number}")
        # What the keys of a write hold if it was applied, until that is known.
        self._asked: dict[str, bytes | None] = {}
        self._actions = [self._put, self._put, self._put, self._delete, self._put_many]
        self._actions += [self._put_briefly, self._get, self._get_many, self._list, self._create]

    @property
    def held_bytes(self) -> int:
        """Of values."""
        return sum(map(len, self.held.values()))

    def work(self, port: int, over: threading.Event) -> None:
        """Send random requests until the test is over; reconnect as often as needed."""
        while not over.is_set():
            try:
                with Connection(port) as self._connection:
                    self._settle()
                    while not over.is_set():
                        self._chance.choice(self._actions)()
            except (OSError, http.client.HTTPException):
                self.counts["requests without an answer"] += 1
                time.sleep(0.02)  # the worker, or the server, is gone

    def check(self, port: int) -> None:
        """Compare all values that must exist with those of the server."""
        with Connection(port) as self._connection:
            self._settle()
            self._list()
            for key, value in self.held.items():
                assert self._connection.ask("GET", target_of(key)).body == value

    def _key(self) -> str:
        return f"{self._prefix}{self._chance.randrange(KEYS_EACH)}"

    def _value(self) -> bytes:
        return self._chance.randbytes(self._chance.randint(0, self._chance.choice(SIZES)))

    def _put(self) -> None:
        key, value = self._key(), self._value()
        self._asked = {key: value}
        self._written(self._connection.ask("PUT", target_of(key), value))

    def _create(self) -> None:
        """Put a key if it is absent; the server must reject the put if it exists."""
        key, value = self._key(), self._value()
        is_held = key in self.held
        self._asked = {} if is_held else {key: value}
        answer = self._connection.ask("PUT", target_of(key), value, If_None_Match="*")
        if is_held:
            assert answer.status in (412, *REFUSED), answer
            self.counts["answers"] += 1
        else:
            self._written(answer)

    def _put_briefly(self) -> None:
        """Put a value that expires at once: the key must be gone, and no older value return."""
        key = self._key()
        self._asked = {key: None}
        self._written(self._connection.ask("PUT", f"{target_of(key)}?ttl=0.000001", b"soon gone"))

    def _delete(self) -> None:
        key = self._key()
        self._asked = {key: None}
        self._written(self._connection.ask("DELETE", target_of(key)))

    def _put_many(self) -> None:
        """Put some keys and delete one in a single transaction."""
        gone, *keys = {self._key() for _ in range(5)}
        self._asked = {gone: None} | {key: self._value() for key in keys}
        ops = [
            {"op": "delete", "key": key}
            if value is None
            else {"op": "put", "key": key, "base64": base64.b64encode(value).decode()}
            for key, value in self._asked.items()
        ]
        self._written(self._connection.txn(*ops))

    def _get(self) -> None:
        key = self._key()
        answer = self._connection.ask("GET", target_of(key))
        assert answer.status == (200 if key in self.held else 404), (key, answer)
        assert answer.status == 404 or answer.body == self.held[key]
        self.counts["answers"] += 1

    def _get_many(self) -> None:
        keys = [self._key() for _ in range(10)]
        answer = self._connection.send("/v1/mget", {"keys": keys})
        assert [value_in(item) for item in answer.json["items"]] == [*map(self.held.get, keys)]
        self.counts["answers"] += 1

    def _list(self) -> None:
        answer = self._connection.ask("GET", f"/v1/keys?prefix={target_of(self._prefix)[7:]}")
        listed = [(item["key"], item["size"]) for item in answer.json["keys"]]
        assert listed == sorted((key, len(value)) for key, value in self.held.items())
        self.counts["answers"] += 1

    def _written(self, answer: Answer) -> None:
        """Take an answer to what was asked."""
        if answer.status == UNKNOWN:
            self._settle()
        elif answer.status in REFUSED:
            self.counts["refusals"] += 1
        else:
            is_absent = answer.status == 404 and not self.held.keys() & self._asked.keys()
            assert answer.status in (200, 201, 204) or is_absent, answer
            self._apply()
            self.counts["answers"] += 1
        self._asked = {}

    def _apply(self) -> None:
        for key, value in self._asked.items():
            if value is None:
                self.held.pop(key, None)
            else:
                self.held[key] = value

    def _settle(self) -> None:
        """Find out whether a write without an answer was applied; it must be whole or absent."""
        keys = list(self._asked)
        if keys:
            items = self._connection.send("/v1/mget", {"keys": keys}).json["items"]
            found = {key: value_in(item) for key, item in zip(keys, items, strict=True)}
            if found == self._asked:
                self._apply()
            else:
                assert found == {key: self.held.get(key) for key in keys}
            self._asked = {}


def target_of(key: str) -> str:
    return f"/v1/kv/{key.replace(' ', '%20')}"


def value_in(item: dict[str, str]) -> bytes | None:
    """The value in an item of ``mget``."""
    if not item["found"]:
        return None
    return item["text"].encode() if "text" in item else base64.b64decode(item["base64"])
