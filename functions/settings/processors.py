"""How many processors this process may use."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

_QUOTA: Final = Path("/sys/fs/cgroup/cpu.max")


def usable_processors(quota: Path = _QUOTA) -> int:
    """Return a number of processors, 1 at least: what the system has, or a limit on it.

    Args:
        quota: the file of the limit of a container (cgroup v2): microseconds in each period, or
            ``max``, and the period in microseconds. See ``cgroups(7)``.
    """
    is_bound = hasattr(os, "sched_getaffinity")
    count = len(os.sched_getaffinity(0)) if is_bound else os.cpu_count() or 1
    try:
        microseconds, period = quota.read_text("ascii").split()
        count = min(count, int(microseconds) // int(period))
    except (OSError, ValueError, ZeroDivisionError):
        pass  # no limit
    return max(1, count)
