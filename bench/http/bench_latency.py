"""How do durable writes affect the latency of reads, at a rate that every server can sustain?

Sixteen clients send requests at a given rate. The latency of a request that has to wait for the one
before it counts from the time at which it was due.
"""

from __future__ import annotations

import pytest

from bench.errors import LoadFailed
from bench.recorder import Recorder
from bench.systems.catalogue import FASTAPI_REDIS, REDIS, RUNDLETS, SQLITE
from bench.systems.running import Servers
from bench.systems.system import System
from bench.workload import READS, SOME_WRITES

_RATE_PER_S = 1_000
_SYSTEMS = (*RUNDLETS, SQLITE, REDIS, FASTAPI_REDIS)
_CASES = {"no puts": READS, "5 % puts": SOME_WRITES}


@pytest.mark.parametrize("case", _CASES)
@pytest.mark.parametrize("system", _SYSTEMS, ids=lambda system: system.name)
def test_latency(record: Recorder, servers: Servers, system: System, case: str) -> None:
    server = servers.get(system)

    def ask() -> dict[str, float]:
        outcome = server.run(server.plan(server.script(_CASES[case]), rate_per_s=_RATE_PER_S))
        if "get" not in outcome.samples:
            raise LoadFailed("the server answered no read in time")
        latencies = outcome.samples["get"].percentiles_ms()
        return {f"{name} ms": value for name, value in latencies.items()}

    record.figures(ask, system=system.name, case=case)
