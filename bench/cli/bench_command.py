"""How much processor time does a command take, compared with importing what it stands on?

``rundlet get`` reads one value from a running server. A process that only imports typer, httpx and
cbor2 is measured in turn.
"""

from __future__ import annotations

import os
import subprocess
import sys
from statistics import median
from typing import Final

from bench.places import ROOT
from bench.recorder import Recorder
from bench.systems.catalogue import WAITRESS
from bench.systems.running import Servers
from bench.workload import key_of

_TURNS: Final = 9
_IMPORTS: Final = ["-c", "import typer, httpx, cbor2"]


def test_command(record: Recorder, servers: Servers) -> None:
    url = f"http://127.0.0.1:{servers.get(WAITRESS).port}"
    get = ["-m", "rundlet_server", "get", key_of(0), "--url", url]

    def ask() -> dict[str, float]:
        turns = [(_cpu_ms(get), _cpu_ms(_IMPORTS)) for _ in range(_TURNS)]
        return {
            "of imports": median(one / other for one, other in turns),
            "cpu ms": median(one for one, _ in turns),
            "imports cpu ms": median(other for _, other in turns),
        }

    record.figures(ask, system="rundlet get")


def _cpu_ms(arguments: list[str]) -> float:
    """Run Python; return the processor time that the process took, in milliseconds."""
    before = os.times()
    subprocess.run([sys.executable, *arguments], cwd=ROOT, stdout=subprocess.DEVNULL, check=True)
    after = os.times()
    took_s = after.children_user - before.children_user
    return (took_s + after.children_system - before.children_system) * 1_000
