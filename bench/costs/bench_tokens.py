"""What does authentication cost: reads with a token, and reads of a server that has no tokens?"""

from __future__ import annotations

import dataclasses
import subprocess
import sys

import pytest

from bench.costs.turns import in_turns, pairs
from bench.load.dialects import TokenDialect
from bench.places import ROOT
from bench.recorder import Recorder
from bench.systems.running import Server, Servers
from bench.workload import READS

REPEATS_MAX = 1
_PAIRS = pairs("token")


@pytest.mark.parametrize("name", _PAIRS)
def test_tokens(record: Recorder, servers: Servers, name: str, repeat: int) -> None:
    with_it, without = (servers.get(system) for system in _PAIRS[name])
    secret = _new_token(with_it, f"bench-{repeat}")
    system = dataclasses.replace(with_it.system, dialect=TokenDialect(secret))
    with_it = dataclasses.replace(with_it, system=system)

    record.figures(
        lambda: in_turns(
            lambda: with_it.read(READS)["requests/s"], lambda: without.read(READS)["requests/s"]
        ),
        system=name,
        case="GET",
    )


def _new_token(server: Server, name: str) -> str:
    data = str(server.processes.folder / "data")
    command = [sys.executable, "-m", "rundlet_server", "token", "add", name, "--data", data]
    return subprocess.check_output(command, cwd=ROOT, text=True, stderr=subprocess.DEVNULL).strip()
