"""How many new values a second do 64 clients store over HTTP?

With ``sync=always`` each value is on the disk before the server acknowledges it; with ``synced
later`` it may not be. The benchmark reads back every acknowledged write.
"""

from __future__ import annotations

import pytest

from bench.recorder import Recorder
from bench.systems.catalogue import DURABLE_WRITERS, LATER_WRITERS
from bench.systems.running import Servers
from bench.systems.system import System
from bench.workload import WRITES


@pytest.mark.parametrize("system", DURABLE_WRITERS, ids=lambda system: system.name)
def test_put(record: Recorder, servers: Servers, system: System) -> None:
    server = servers.get(system)

    record.figures(lambda: server.mix(WRITES, clients=64), system=system.name, case="sync=always")


@pytest.mark.parametrize("system", LATER_WRITERS, ids=lambda system: system.name)
def test_put_synced_later(record: Recorder, servers: Servers, system: System) -> None:
    server = servers.get(system)

    record.figures(lambda: server.mix(WRITES, clients=64), system=system.name, case="synced later")
