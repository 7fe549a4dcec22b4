"""How many processors this process may use."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

_QUOTA: Final = Path("/sys/fs/cgroup/cpu.max")


def usable_processors(quota: Path = _QUOTA) -> int:
    """Return the number of processors, at least 1: those of the system, or the container's limit.

    Args:
        quota: the file with the container's limit (cgroup v2): the microseconds in each period, or
            ``max``, and then the period in microseconds. See ``cgroups(7)``.
    """
    is_bound = hasattr(os, "sched_getaffinity")
    count = len(os.sched_getaffinity(0)) if is_bound else os.cpu_count() or 1
    try:
        microseconds, period = quota.read_text("ascii").split()
        count = min(count, int(microseconds) // int(period))
    except (OSError, ValueError, ZeroDivisionError):
        pass  # no limit
    return max(1, count)
