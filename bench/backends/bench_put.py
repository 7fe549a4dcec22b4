"""How many new values a second do clients store through Rundlet on an engine, and without it?

Each write is synced to the disk. The benchmark reads back every acknowledged write.
"""

from __future__ import annotations

import pytest

from bench.backends.systems import DURABLE_WRITERS
from bench.backends.usage import with_cost
from bench.recorder import Recorder
from bench.systems.running import Servers
from bench.systems.system import System
from bench.workload import WRITES


@pytest.mark.parametrize("system", DURABLE_WRITERS, ids=lambda system: system.name)
def test_put(record: Recorder, servers: Servers, system: System) -> None:
    server = servers.get(system)

    record.figures(lambda: with_cost(server, WRITES, 64), system=system.name, case="sync=always")
