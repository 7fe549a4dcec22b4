"""Heartbeats: which processes of a server still run.

Every process that counts notes the time once a second in its counters, in a thread of its own or in
its event loop. If a living process no longer does so, it is stopped (SIGSTOP), or some code in it
blocks the interpreter or the loop. Times are of the system's monotonic clock, which all processes
share and which stands still while the machine sleeps. A process is late only compared with the
others, so a pause of all of them makes none late.
"""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Final

from rundlet_server.storage.counting.counters import LATEST, SharedCounters
from rundlet_server.storage.counting.rows import (
    SUFFIX,
    CountingProcess,
    is_alive,
    process_of,
    rows_of_file,
)

HUNG_MS: Final = 5_000
"""A process this much later than the others is reported."""

BEAT_EVERY_S: Final = 1.0
_BEAT: Final = LATEST + "beat_ms"


def start_heartbeat(shared: SharedCounters) -> None:
    """Start a thread that notes every second that this process runs."""

    def beat_often() -> None:
        while True:
            beat(shared)
            time.sleep(BEAT_EVERY_S)

    threading.Thread(target=beat_often, name="rundlet-heartbeat", daemon=True).start()


def beat(shared: SharedCounters) -> None:
    """Note that this process runs. A loop calls this itself: it may hang while threads run."""
    shared.note_latest(_BEAT, time.monotonic_ns() // 1_000_000)


def beats(directory: Path) -> dict[CountingProcess, int]:
    """Return when each living process last noted that it runs, in milliseconds.

    Processes that have noted nothing yet are left out.

    Args:
        directory: with the counters of a server.

    Raises:
        OSError: the server is about to end, and its counters are being removed.
    """
    living: list[CountingProcess] = []
    latest: dict[CountingProcess, int] = {}  # a process id may be used again
    for path in directory.glob(f"*{SUFFIX}"):
        process = process_of(path)
        if is_alive(path):
            living.append(process)
        for name, words in rows_of_file(path):
            if name == _BEAT:
                latest[process] = max(words[0], latest.get(process, 0))
    return {process: latest[process] for process in living if process in latest}


def hung_processes(shared: SharedCounters) -> dict[CountingProcess, int]:
    """Return the processes that are late, and by how many milliseconds."""
    if shared.directory is None:
        return {}  # this process alone, which is running
    found = beats(shared.directory)
    newest_ms = max(found.values(), default=0)
    return {
        process: newest_ms - beat_ms
        for process, beat_ms in found.items()
        if newest_ms - beat_ms > HUNG_MS
    }
