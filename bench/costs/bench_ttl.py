"""What does a time to live cost: reads of keys that have one, and writes that set one?"""

from __future__ import annotations

import dataclasses

import pytest

from bench.costs.turns import in_turns, pairs
from bench.load.dialects import TtlDialect
from bench.recorder import Recorder
from bench.systems.running import Server, Servers
from bench.workload import READS, WRITES, key_of, value_of
from rundlet import Client, Put

REPEATS_MAX = 1
_WRITERS = 64
_TTL_S = 86_400
_TXN_KEYS = 1_000
_PAIRS = {
    name: (dataclasses.replace(with_it, dialect=TtlDialect(_TTL_S)), without)
    for name, (with_it, without) in pairs("ttl").items()
}


@pytest.mark.parametrize("name", _PAIRS)
def test_read(record: Recorder, servers: Servers, name: str) -> None:
    with_it, without = (servers.get(system) for system in _PAIRS[name])
    _write_again(with_it, _TTL_S)
    _write_again(without, None)

    record.figures(
        lambda: in_turns(
            lambda: with_it.read(READS)["requests/s"], lambda: without.read(READS)["requests/s"]
        ),
        system=name,
        case="GET",
    )


@pytest.mark.parametrize("name", _PAIRS)
def test_write(record: Recorder, servers: Servers, name: str) -> None:
    with_it, without = (servers.get(system) for system in _PAIRS[name])

    record.figures(
        lambda: in_turns(
            lambda: with_it.mix(WRITES, _WRITERS)["requests/s"],
            lambda: without.mix(WRITES, _WRITERS)["requests/s"],
        ),
        system=name,
        case="durable PUT",
    )


def _write_again(server: Server, ttl_s: float | None) -> None:
    """Write every key of a server that its clients read."""
    count = server.stage.key_count
    with Client(f"http://127.0.0.1:{server.port}") as client:
        for first in range(0, count, _TXN_KEYS):
            numbers = range(first, min(first + _TXN_KEYS, count))
            client.txn([Put(key_of(number), value_of(number), ttl=ttl_s) for number in numbers])
