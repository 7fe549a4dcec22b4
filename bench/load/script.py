"""The requests of clients: endless, made one by one, and the same for the same seed."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple, Protocol

from bench.load.dialects import Dialect, Form, PathDialect
from bench.workload import VALUE_SIZE, Mix, key_of, sample, value_of

_SAMPLE_SIZE: Final = 20_000

Kind = Literal["get", "put", "mget", "check"]


class Request(NamedTuple):
    """One request: its bytes, and for ``put`` and ``check`` its key and its value."""

    kind: Kind
    data: bytes
    key: str = ""
    value: bytes = b""


class Script(Protocol):
    """Makes the requests of one client out of several."""

    def requests(self, client: int, clients: int) -> Iterator[Request]:
        """Yield the requests of this client, in order."""


@dataclass(frozen=True, slots=True)
class MixScript:
    """Reads and writes by shares.

    Only one client writes each key, so the value that the key must have afterwards is known.

    Attributes:
        dialect: of the server.
        mix: the shares of operations and the choice of keys.
        key_count: the number of keys that exist from the beginning.
        insert_from: the number of the first new key.
        value_size: the size of a written value, in bytes.
    """

    dialect: Dialect
    mix: Mix
    key_count: int
    insert_from: int
    value_size: int = VALUE_SIZE

    def requests(self, client: int, clients: int) -> Iterator[Request]:
        """See ``Script``."""
        dice = random.Random(self.insert_from * 1_009 + client)
        numbers = sample(self.mix.choice, self.key_count, _SAMPLE_SIZE, self.insert_from)
        inserted = written = 0
        while True:
            number = dice.choice(numbers)
            operation = self.mix.operation(dice)
            if operation == "get":
                if self.mix.choice == "latest" and self.key_count - 1 - number < inserted:
                    back = self.key_count - 1 - number
                    number = self._new_number(client, clients, inserted - 1 - back)
                yield self._get(number)
                continue
            if operation == "insert":
                number = self._new_number(client, clients, inserted)
                inserted += 1
            else:
                number = self._own_number(number, client, clients)
            if operation == "modify":
                yield self._get(number)
            written += 1
            yield self._put(number, client + written * clients)

    def _get(self, number: int) -> Request:
        return Request("get", self.dialect.get(key_of(number)))

    def _put(self, number: int, value_number: int) -> Request:
        key, value = key_of(number), value_of(value_number, self.value_size)
        return Request("put", self.dialect.put(key, value), key, value)

    def _new_number(self, client: int, clients: int, position: int) -> int:
        return self.insert_from + position * clients + client

    def _own_number(self, number: int, client: int, clients: int) -> int:
        own = number - number % clients + client
        return own if own < self.key_count else own - clients


@dataclass(frozen=True, slots=True)
class MgetScript:
    """Reads many keys with each request, in CBOR or JSON."""

    dialect: PathDialect
    key_count: int
    keys_per_request: int
    form: Form

    def requests(self, client: int, clients: int) -> Iterator[Request]:
        """See ``Script``."""
        numbers = sample("uniform", self.key_count, _SAMPLE_SIZE, seed=clients)
        dice = random.Random(client)
        while True:
            keys = [key_of(number) for number in dice.sample(numbers, self.keys_per_request)]
            yield Request("mget", self.dialect.mget(keys, self.form))


@dataclass(frozen=True, slots=True)
class ReadBackScript:
    """Reads every acknowledged value once, to compare it."""

    dialect: Dialect
    acknowledged: dict[str, bytes]

    def requests(self, client: int, clients: int) -> Iterator[Request]:
        """See ``Script``."""
        for key, value in list(self.acknowledged.items())[client::clients]:
            yield Request("check", self.dialect.get(key), key, value)
