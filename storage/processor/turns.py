"""How long a thread may run before the system's scheduler lets another one run."""

from __future__ import annotations

import ctypes
import os
import struct
import sys
from typing import Final

_SCHED_SETATTR: Final = {"x86_64": 314, "aarch64": 274}
"""The number of the system call; only new C libraries have a function for it."""
_ATTRIBUTES: Final = struct.Struct("=IIQiIQQQ")
"""``struct sched_attr`` of Linux: size, policy, flags, niceness, priority, runtime, deadline,
period."""
_KEEP_POLICY: Final = 0x08
_TURN_NS: Final = 20_000_000
"""Well above the usual turn of 0.7 to 2.8 ms. Linux takes up to 100 ms, but until Linux 6.16 a
thread that computes all the time may wait for the whole turn."""


def take_long_turns() -> bool:
    """Let this thread, and all that it starts, ask for long turns at a processor.

    For background work beside requests. Since Linux 6.12 a thread that wakes up runs at once if its
    turn is shorter than that of the running thread; otherwise it may wait until that turn ends.
    Niceness alone changes this within one session or control group only, because these share the
    processors in equal parts. The share of a thread stays the same.

    Returns:
        Whether the system has accepted it. Linux before 6.12 does so to no effect.
    """
    if sys.platform != "linux" or sys.maxsize < 1 << 32:
        return False
    number = _SCHED_SETATTR.get(os.uname().machine)
    if number is None:
        return False
    niceness = os.getpriority(os.PRIO_PROCESS, 0)
    attributes = _ATTRIBUTES.pack(_ATTRIBUTES.size, 0, _KEEP_POLICY, niceness, 0, _TURN_NS, 0, 0)
    failed: int = ctypes.CDLL(None).syscall(number, 0, attributes, 0)
    return not failed
