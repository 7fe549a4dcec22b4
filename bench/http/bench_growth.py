"""By how much does the private memory of a server grow while clients read the same few keys?

The first load fills the caches. ``B/read`` is the growth from there to the end of the last load, of
all processes of the server, for each value that was read.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from bench.load import wrk
from bench.load.dialects import PathDialect
from bench.load.script import MgetScript, Script
from bench.recorder import Recorder
from bench.systems.catalogue import RUNDLETS
from bench.systems.memory import kilobytes
from bench.systems.processes import descendants_of
from bench.systems.running import Server, Servers
from bench.systems.system import Stage, System
from bench.workload import READS

_KEYS = 1_000
_KEYS_A_REQUEST = 100
_LOADS = 3
_SCRIPTS: dict[str, tuple[int, Callable[[Server], Script]]] = {
    "GET": (1, lambda server: server.script(READS)),
    "mget": (
        _KEYS_A_REQUEST,
        lambda _: MgetScript(PathDialect(), _KEYS, _KEYS_A_REQUEST, "json"),
    ),
}


@pytest.mark.parametrize("case", _SCRIPTS)
@pytest.mark.parametrize("system", RUNDLETS, ids=lambda system: system.name)
def test_growth(record: Recorder, servers: Servers, system: System, case: str) -> None:
    server = servers.get(system, Stage(_KEYS))
    values, script = _SCRIPTS[case]

    def ask() -> dict[str, float]:
        _values_read(server, script(server))
        before = _private_bytes(server)
        count = sum(_values_read(server, script(server)) for _ in range(_LOADS)) * values
        grown = _private_bytes(server) - before
        return {"B/read": grown / count, "KiB": grown / 1_024, "values read": count}

    record.figures(ask, system=system.name, case=case)


def _values_read(server: Server, script: Script) -> float:
    plan = server.plan(script)
    return wrk.read_figures(plan, server.processes.folder)["requests/s"] * plan.load_s


def _private_bytes(server: Server) -> int:
    family = [pid for one in server.processes.pids for pid in (one, *descendants_of(one))]
    return sum(kilobytes(pid, "Private_Dirty") for pid in family) * 1_024
