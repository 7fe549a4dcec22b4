"""How does the size of a value affect reads over HTTP?"""

from __future__ import annotations

import pytest

from bench.recorder import Recorder
from bench.scale import Scale
from bench.systems.catalogue import MAIN_SYSTEMS
from bench.systems.running import Servers
from bench.systems.system import Stage, System
from bench.workload import READS

REPEATS_MAX = 1
_SIZES = {"16 B": 16, "100 B": 100, "10 KiB": 10 * 1024, "1 MiB": 1024 * 1024}
_STAGE_BYTES_MAX = 64 * 1024 * 1024


@pytest.mark.parametrize("size", _SIZES)
@pytest.mark.parametrize("system", MAIN_SYSTEMS, ids=lambda system: system.name)
def test_size(record: Recorder, servers: Servers, scale: Scale, system: System, size: str) -> None:
    key_count = min(scale.http_keys, _STAGE_BYTES_MAX // _SIZES[size])
    server = servers.get(system, Stage(key_count, _SIZES[size]))

    record.figures(lambda: server.read(READS), system=system.name, case=size)
