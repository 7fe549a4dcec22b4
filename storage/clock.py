"""The time, as every store tells it."""

from __future__ import annotations

import time


def system_clock_us() -> int:
    """Microseconds since the epoch by the system's clock."""
    return time.time_ns() // 1_000
