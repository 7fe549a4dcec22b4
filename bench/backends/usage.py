"""Processor time: what a request costs, and how busy the machine is.

On a machine that has other work, too, throughput says little; the cost of a request says more.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

from bench.recorder import Figures
from bench.scale import CORES
from bench.systems.processes import descendants_of
from bench.systems.running import Server
from bench.workload import Mix

_TICKS_PER_S: Final = os.sysconf("SC_CLK_TCK")
_IDLE: Final = slice(3, 5)  # in the first line of /proc/stat: nothing to do, waiting for a disk


def with_cost(server: Server, mix: Mix, clients: int) -> Figures:
    """Put a load on a server; return its figures, and the processor time of a request."""
    pids = [*server.processes.pids, *server.processes.shared]
    before_s = cpu_s(pids)
    figures = server.mix(mix, clients)
    seconds = server.scale.warm_up_s + server.scale.load_s
    return figures | {"cpu µs": (cpu_s(pids) - before_s) / (figures["requests/s"] * seconds) * 1e6}


def with_cores(work: Callable[[], Figures], groups: dict[str, list[int]]) -> Figures:
    """Do some work; return its figures, and the cores that each group of processes used.

    ``busy cores`` are those of the whole machine, whatever used them.
    """
    before = {name: cpu_s(pids) for name, pids in groups.items()}
    busy, idle = _machine_s()
    figures = work()
    busy_s, idle_s = (now - then for now, then in zip(_machine_s(), (busy, idle), strict=True))
    took_s = max((busy_s + idle_s) / CORES, 1 / _TICKS_PER_S)
    cores = {name: (cpu_s(pids) - before[name]) / took_s for name, pids in groups.items()}
    return figures | cores | {"busy cores": busy_s / took_s}


def cpu_s(pids: Iterable[int]) -> float:
    """Return the processor time that processes and their descendants have used so far."""
    families = {one for pid in pids for one in (pid, *descendants_of(pid))}
    return sum(map(_cpu_s, families))


def _cpu_s(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:  # it has ended, or the system has no /proc
        return 0.0
    return (int(fields[11]) + int(fields[12])) / _TICKS_PER_S


def _machine_s() -> tuple[float, float]:
    """Return how long all cores together were busy, and idle."""
    with Path("/proc/stat").open() as file:
        ticks = [int(field) for field in file.readline().split()[1:9]]
    idle = sum(ticks[_IDLE])
    return (sum(ticks) - idle) / _TICKS_PER_S, idle / _TICKS_PER_S
