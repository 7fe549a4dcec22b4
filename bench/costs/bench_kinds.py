"""How much processor time of a server does each kind of request take?

Both servers answer all reads except ranges without Falcon; Granian also answers all writes except
transactions without it.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from statistics import median
from typing import Final

import pytest

from bench.backends.usage import cpu_s
from bench.load import generator
from bench.load.dialects import request
from bench.load.script import Request
from bench.recorder import Figures, Recorder
from bench.systems.catalogue import RUNDLETS
from bench.systems.running import CLIENTS, Server, Servers
from bench.systems.system import System
from bench.workload import key_of, value_of

REPEATS_MAX = 1
_TURNS: Final = 3
_WRITERS: Final = 64
_VALUE: Final = value_of(0)


def _get(key: str, header: str = "") -> bytes:
    return _with_header(request("GET", f"/v1/kv/{key}"), header)


def _put(key: str, query: str = "", header: str = "") -> bytes:
    return _with_header(request("PUT", f"/v1/kv/{key}{query}", _VALUE), header)


def _txn(key: str) -> bytes:
    put = {"op": "put", "key": key, "text": _VALUE.decode()}
    return request("POST", "/v1/txn", json.dumps({"then": [put]}).encode(), "application/json")


def _with_header(data: bytes, header: str) -> bytes:
    line, _, rest = data.partition(b"\r\n")
    return b"\r\n".join((line, header.encode(), rest)) if header else data


_READS: Final[dict[str, Callable[[str], bytes]]] = {
    "GET": _get,
    "GET, If-None-Match of an older version": lambda key: _get(key, 'If-None-Match: "0"'),
    "GET /livez": lambda _: request("GET", "/livez"),
    "GET, Range": lambda key: _get(key, "Range: bytes=0-9"),
}
_WRITES: Final[dict[str, Callable[[str], bytes]]] = {  # of keys that do not exist yet
    "durable PUT": _put,
    "durable PUT, ttl": lambda key: _put(key, query="?ttl=86400"),
    "durable PUT, If-None-Match: *": lambda key: _put(key, header="If-None-Match: *"),
    "durable POST /v1/txn of one put": _txn,
}


@dataclass(frozen=True, slots=True)
class _Reads:
    """Requests of one kind for keys that exist."""

    kind: str
    key_count: int

    def requests(self, client: int, clients: int) -> Iterator[Request]:
        """See ``Script``."""
        for position in itertools.count(client, clients):
            yield Request("get", _READS[self.kind](key_of(position % self.key_count)))


@dataclass(frozen=True, slots=True)
class _Writes:
    """Requests of one kind, each of which makes a key."""

    kind: str
    first: int

    def requests(self, client: int, clients: int) -> Iterator[Request]:
        """See ``Script``."""
        for position in itertools.count(client, clients):
            key = key_of(self.first + position)
            yield Request("put", _WRITES[self.kind](key), key, _VALUE)


@pytest.mark.parametrize("kind", [*_READS, *_WRITES])
@pytest.mark.parametrize("system", RUNDLETS, ids=lambda system: system.name)
def test_kind(record: Recorder, servers: Servers, system: System, kind: str) -> None:
    server = servers.get(system)

    record.figures(lambda: _cost(server, kind), system=system.name, case=kind)


def _cost(server: Server, kind: str) -> Figures:
    """Return the median of some turns, after one that does not count."""
    turns = [_turn(server, kind) for _ in range(_TURNS + 1)][1:]
    return {name: median(turn[name] for turn in turns) for name in turns[0]}


def _turn(server: Server, kind: str) -> Figures:
    """Put a load of one kind on a server, and read back what it has acknowledged."""
    if kind in _READS:
        plan = server.plan(_Reads(kind, server.stage.key_count), CLIENTS)
    else:
        server.loads += 1
        plan = server.plan(_Writes(kind, server.new_keys_from), _WRITERS)
    before_s = cpu_s(server.processes.pids)
    outcome = generator.run(dataclasses.replace(plan, warm_up_s=0.0))
    used_s = cpu_s(server.processes.pids) - before_s
    generator.read_back(server.port, server.system.dialect, outcome.acknowledged)
    return {"cpu µs": used_s / outcome.count * 1e6, "requests/s": outcome.requests_per_s}
