"""The memory of processes, from ``/proc``."""

from __future__ import annotations

from pathlib import Path

from bench.errors import NotMeasurable


def kilobytes(pid: int, name: str) -> int:
    """Return a figure of the memory of a process, as ``smaps_rollup`` names it.

    Raises:
        NotMeasurable: the system does not show it.
    """
    path = Path(f"/proc/{pid}/smaps_rollup")
    if not path.exists():
        raise NotMeasurable(f"{path.parent.parent} does not show private memory on this system")
    lines = path.read_text().splitlines()
    return int(next(line for line in lines if line.startswith(f"{name}:")).split()[1])
