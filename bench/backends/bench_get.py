"""How many values a second do clients read through Rundlet on an engine, and without Rundlet?"""

from __future__ import annotations

import pytest

from bench.backends.systems import READERS
from bench.backends.usage import with_cost
from bench.recorder import Recorder
from bench.systems.running import Servers
from bench.systems.system import System
from bench.workload import READS

CLIENTS = (16, 64)


@pytest.mark.parametrize("clients", CLIENTS)
@pytest.mark.parametrize("system", READERS, ids=lambda system: system.name)
def test_get(record: Recorder, servers: Servers, system: System, clients: int) -> None:
    server = servers.get(system)

    record.figures(
        lambda: with_cost(server, READS, clients), system=system.name, case=f"{clients} clients"
    )
