"""How fast are servers under the mixes of YCSB, with 16 clients and synced writes?

A: half are updates. B: 5 % are updates. C: reads only. D: 5 % are new keys, and reads prefer the
latest ones. F: half of the operations read a key and write it. Clients choose keys by Zipf's law.
The benchmark reads back every acknowledged write.
"""

from __future__ import annotations

import pytest

from bench.recorder import Recorder
from bench.systems.catalogue import FASTAPI_REDIS, REDIS, RUNDLETS, SQLITE
from bench.systems.running import Servers
from bench.systems.system import System
from bench.workload import YCSB, Mix

REPEATS_MAX = 1
_SYSTEMS = (*RUNDLETS, SQLITE, REDIS, FASTAPI_REDIS)


@pytest.mark.parametrize("mix", YCSB, ids=lambda mix: mix.name)
@pytest.mark.parametrize("system", _SYSTEMS, ids=lambda system: system.name)
def test_ycsb(record: Recorder, servers: Servers, system: System, mix: Mix) -> None:
    server = servers.get(system)

    record.figures(lambda: server.mix(mix), system=system.name, case=mix.name)
