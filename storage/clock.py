"""The time that every store goes by."""

from __future__ import annotations

import time


def system_clock_us() -> int:
    """Return microseconds since the epoch by the system's clock."""
    return time.time_ns() // 1_000
