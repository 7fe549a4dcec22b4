"""How many values a second do clients read, a hundred of one snapshot at a time, in CBOR?"""

from __future__ import annotations

import pytest

from bench.load import generator
from bench.load.dialects import PathDialect
from bench.load.script import MgetScript
from bench.load.wrk import figures_of
from bench.recorder import Recorder
from bench.scale import Scale
from bench.systems.catalogue import RUNDLETS
from bench.systems.running import Servers
from bench.systems.system import System

_KEYS_A_REQUEST = 100
_CLIENTS = 8


@pytest.mark.parametrize("system", RUNDLETS, ids=lambda system: system.name)
def test_mget(record: Recorder, servers: Servers, scale: Scale, system: System) -> None:
    server = servers.get(system)
    script = MgetScript(PathDialect(), scale.http_keys, _KEYS_A_REQUEST)

    def ask() -> dict[str, float]:
        figures = figures_of(generator.run(server.plan(script, _CLIENTS)))
        return {"keys/s": figures["requests/s"] * _KEYS_A_REQUEST} | figures

    record.figures(ask, system=system.name, case=f"{_KEYS_A_REQUEST} keys")
