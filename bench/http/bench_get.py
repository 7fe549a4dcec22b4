"""How many values a second do 16 clients read over HTTP, and how long does each read take?"""

from __future__ import annotations

import pytest

from bench.recorder import Recorder
from bench.systems.catalogue import MAIN_SYSTEMS, READERS
from bench.systems.running import Servers
from bench.systems.system import System
from bench.workload import READS, ZIPF_READS


@pytest.mark.parametrize("system", READERS, ids=lambda system: system.name)
def test_get(record: Recorder, servers: Servers, system: System) -> None:
    server = servers.get(system)

    record.figures(lambda: server.read(READS), system=system.name, case="uniform")


@pytest.mark.parametrize("system", MAIN_SYSTEMS, ids=lambda system: system.name)
def test_get_zipf(record: Recorder, servers: Servers, system: System) -> None:
    server = servers.get(system)

    record.figures(lambda: server.read(ZIPF_READS), system=system.name, case="zipf")
