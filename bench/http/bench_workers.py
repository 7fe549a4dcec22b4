"""What does a worker process for each processor core gain, beside the load on the same cores?"""

from __future__ import annotations

import pytest

from bench.recorder import Recorder
from bench.scale import CORES
from bench.systems.catalogue import GRANIAN, GRANIAN_OPTIONS, rundlet
from bench.systems.running import Servers
from bench.systems.system import System
from bench.workload import READS, WRITES

REPEATS_MAX = 1
_SYSTEMS = (
    GRANIAN,
    rundlet(f"granian, --workers {CORES}", *GRANIAN_OPTIONS, "--workers", str(CORES)),
)


@pytest.mark.parametrize("system", _SYSTEMS, ids=lambda system: system.name)
def test_get(record: Recorder, servers: Servers, system: System) -> None:
    server = servers.get(system)

    record.figures(lambda: server.read(READS, clients=64), system=system.name, case="GET")


@pytest.mark.parametrize("system", _SYSTEMS, ids=lambda system: system.name)
def test_put(record: Recorder, servers: Servers, system: System) -> None:
    server = servers.get(system)

    record.figures(lambda: server.mix(WRITES, clients=64), system=system.name, case="durable PUT")
