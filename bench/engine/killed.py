"""Stores whose process was ended by ``kill -9``."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from bench.errors import LoadFailed
from bench.places import ROOT


def run_and_kill(job: str, folder: Path, count: int) -> dict[str, float]:
    """Run a job of ``victim``, kill it when it is done, and give its figures.

    Raises:
        LoadFailed: it broke off.
    """
    command = [sys.executable, "-m", "bench.engine.victim", job, str(folder), str(count)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT
    ) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        process.kill()
    if not line:
        raise LoadFailed(f"the process that was to {job} a store broke off")
    figures: dict[str, float] = json.loads(line)
    return figures


class GrownStores:
    """Stores by number of keys, each made once in a run."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def folder(self, key_count: int) -> Path:
        """The folder of a store with so many keys and a few more; it was killed when it had them.

        Whoever uses it may write to it, and leaves it to the next.
        """
        path = self._folder / str(key_count)
        if not path.exists():
            run_and_kill("grow", path, key_count)
        return path
