"""End processes of a server that hang, so that they are replaced.

A stopped worker still gets its share of the connections, and while the maintenance process is
stopped, the store is not maintained. If a worker ends, Granian replaces it; if the maintenance
process ends, ``WatchedProcess`` replaces it.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import threading
from pathlib import Path
from typing import Final, Self

from rundlet_server.functions.monitoring.readiness import HUNG_ENDED_S
from rundlet_server.storage.counting.heartbeat import beats
from rundlet_server.storage.counting.rows import CountingProcess

_EVERY_S: Final = 1.0
_LOOKS_MAX: Final = round(HUNG_ENDED_S / _EVERY_S)
"""How many checks in a row must find no progress of a process. Checks are counted, not seconds: if
this process is stopped together with the others, they get the full time after all continue."""

_logger = logging.getLogger("rundlet.server")


class HungProcesses:
    """A thread that ends children of this process that hang; a context manager."""

    def __init__(
        self, directory: Path, *, every_s: float = _EVERY_S, looks_max: int = _LOOKS_MAX
    ) -> None:
        """Watch the processes that have counters in ``directory``."""
        self._directory = directory
        self._every_s = every_s
        self._looks_max = looks_max
        self._seen: dict[CountingProcess, tuple[int, int]] = {}
        self._is_ending = threading.Event()
        self._watcher = threading.Thread(target=self._watch, name="rundlet-hung", daemon=True)

    def __enter__(self) -> Self:
        self._watcher.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_ending.set()
        self._watcher.join()

    def _watch(self) -> None:
        while not self._is_ending.wait(self._every_s):
            with contextlib.suppress(OSError):  # it has just ended, or the server is ending
                self._look()

    def _look(self) -> None:
        seen: dict[CountingProcess, tuple[int, int]] = {}
        for process, beat_ms in beats(self._directory).items():
            before_ms, looks = self._seen.get(process, (0, 0))
            looks = looks + 1 if beat_ms == before_ms else 0
            seen[process] = (beat_ms, looks)
            if looks >= self._looks_max and _is_child(process.pid):
                _logger.warning(
                    "the %s process %d has not moved for %d s; it is ended and replaced",
                    process.role,
                    process.pid,
                    round(looks * self._every_s),
                )
                os.kill(process.pid, signal.SIGKILL)  # it would not notice another signal
        self._seen = seen


def _is_child(pid: int) -> bool:
    """Return whether a process is a child that this process has not waited for yet."""
    try:
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True
