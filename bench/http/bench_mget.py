"""How many values a second do clients read, a hundred of one snapshot at a time?"""

from __future__ import annotations

import pytest

from bench.load import wrk
from bench.load.dialects import Form, PathDialect
from bench.load.script import MgetScript
from bench.recorder import Recorder
from bench.scale import Scale
from bench.systems.catalogue import RUNDLETS
from bench.systems.running import Servers
from bench.systems.system import System

_KEYS_A_REQUEST = 100
_CLIENTS = 8
_FORMS: dict[str, Form] = {"CBOR": "cbor", "JSON": "json"}


@pytest.mark.parametrize("case", _FORMS)
@pytest.mark.parametrize("system", RUNDLETS, ids=lambda system: system.name)
def test_mget(record: Recorder, servers: Servers, scale: Scale, system: System, case: str) -> None:
    server = servers.get(system)
    script = MgetScript(PathDialect(), scale.http_keys, _KEYS_A_REQUEST, _FORMS[case])

    def ask() -> dict[str, float]:
        figures = wrk.read_figures(server.plan(script, _CLIENTS), server.processes.folder)
        return {"keys/s": figures["requests/s"] * _KEYS_A_REQUEST} | figures

    record.figures(ask, system=system.name, case=case)
