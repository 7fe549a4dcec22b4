"""How fast are reads beside durable writes, with 64 clients at full speed, 95 % GET and 5 % PUT?

The rate is that of the reads alone. Their latency is measured by clients that send few reads at a
steady rate beside the load, the same in both cases.
"""

from __future__ import annotations

import pytest

from bench.load.beside import figures_beside
from bench.recorder import Recorder
from bench.systems.catalogue import DURABLE_WRITERS
from bench.systems.running import Servers
from bench.systems.system import System
from bench.workload import NEW_KEYS_BESIDE_READS, READS

CLIENTS = 64
_CASES = {"no puts": READS, "5 % puts": NEW_KEYS_BESIDE_READS}


@pytest.mark.parametrize("case", _CASES)
@pytest.mark.parametrize("system", DURABLE_WRITERS, ids=lambda system: system.name)
def test_mixed(record: Recorder, servers: Servers, system: System, case: str) -> None:
    server = servers.get(system)

    def ask() -> dict[str, float]:
        script = server.script(_CASES[case])
        return figures_beside(server.plan(script, CLIENTS), script, server.processes.folder)

    record.figures(ask, system=system.name, case=case)
