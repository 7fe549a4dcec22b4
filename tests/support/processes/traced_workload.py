"""A workload whose system calls fail or kill its process; it reports its progress.

The tests of ``test_strace_faults`` start it, and attach strace to it before it begins.
"""

from __future__ import annotations

import ctypes
import random
import traceback
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NamedTuple

from rundlet_server.storage.files import RealFiles
from rundlet_server.storage.interface import Op
from rundlet_server.storage.settings import SyncPolicy
from tests.support.disks.sample_stores import State
from tests.support.models.model import Clock
from tests.support.models.workload import Contents, Expectation, Workload

_PR_SET_PTRACER = 0x59616D61
_PR_SET_PTRACER_ANY = ctypes.c_ulong(-1)


class Told(NamedTuple):
    """A report: what the store may hold from now on, and the time of its clock."""

    possible: list[Contents]
    now_us: int


class Ended(NamedTuple):
    """The last report: how many commits were rejected, and the unexpected error, if any."""

    refusals: int
    error: str | None


class ToldClock(Clock):
    """A clock that reports when it is moved."""

    def __init__(self) -> None:
        super().__init__()
        self.tell: Callable[[], None] = lambda: None

    def advance(self, seconds: float) -> None:
        super().advance(seconds)
        self.tell()


class ToldExpectation(Expectation):
    """An expectation that reports each commit before it is made and after it is acknowledged."""

    def __init__(self, clock: ToldClock, sync: SyncPolicy, told: Connection) -> None:
        super().__init__(clock, sync)
        self._told = told
        clock.tell = self._tell

    def begin(self, ops: Sequence[Op]) -> None:
        super().begin(ops)
        self._tell()

    def answered(self, found: State) -> None:
        super().answered(found)
        self._tell()

    def refused(self) -> None:
        super().refused()
        self._tell()

    def unknown(self) -> None:
        super().unknown()
        self._tell()

    def _tell(self) -> None:
        self._told.send(Told(self.possible, self._clock.now_us))


def work(folder: Path, seed: int, sync: SyncPolicy, steps: int, told: Connection) -> None:
    """Wait for the signal to begin; run half of the steps, close, open, and run the others."""
    # Else a tracer that is not an ancestor is refused where the Yama module is on.
    ctypes.CDLL(None).prctl(_PR_SET_PTRACER, _PR_SET_PTRACER_ANY)
    clock = ToldClock()
    workload = Workload(folder, random.Random(seed), clock, sync)
    workload.expected = ToldExpectation(clock, sync, told)
    told.send("ready")
    told.recv()
    error = None
    try:
        for part in (steps // 2, steps - steps // 2):
            workload.run(RealFiles(), part)
    except BaseException:
        error = traceback.format_exc()
    told.send(Ended(workload.refusals, error))
