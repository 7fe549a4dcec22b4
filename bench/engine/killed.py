"""Stores whose process was killed by ``kill -9``."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from bench.errors import LoadFailed
from bench.places import ROOT


def run_and_kill(job: str, folder: Path, count: int) -> dict[str, float]:
    """Run a job of ``victim``, kill the process when the job is done, and return the figures.

    Raises:
        LoadFailed: the process ended before the job was done.
    """
    command = [sys.executable, "-m", "bench.engine.victim", job, str(folder), str(count)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT
    ) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        process.kill()
    if not line:
        raise LoadFailed(f"the process for the job {job!r} ended before it was done")
    figures: dict[str, float] = json.loads(line)
    return figures


class GrownStores:
    """Stores by number of keys; a run makes each of them once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def folder(self, key_count: int) -> Path:
        """Return the folder of a store with this many keys and a few more.

        Its process was killed after it wrote them. A benchmark may write to the store; the next
        benchmark gets it as it is then.
        """
        path = self._folder / str(key_count)
        if not path.exists():
            run_and_kill("grow", path, key_count)
        return path
