"""How does the number of clients affect reads over HTTP?"""

from __future__ import annotations

import pytest

from bench.recorder import Recorder
from bench.systems.catalogue import MAIN_SYSTEMS
from bench.systems.running import Servers
from bench.systems.system import System
from bench.workload import READS

REPEATS_MAX = 1


@pytest.mark.parametrize("clients", [1, 4, 16, 64])
@pytest.mark.parametrize("system", MAIN_SYSTEMS, ids=lambda system: system.name)
def test_clients(record: Recorder, servers: Servers, system: System, clients: int) -> None:
    server = servers.get(system)

    record.figures(
        lambda: server.read(READS, clients), system=system.name, case=f"{clients} clients"
    )
