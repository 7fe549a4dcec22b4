"""How long does a process take to load a file of UUID lines, its start included?

``rundlet import`` checks every line before it stores the first; the other process puts the file
into SQLite in one transaction and checks nothing. Both sync the data before they end.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bench.engines import BY_NAME, Engine
from bench.errors import LoadFailed
from bench.places import ROOT
from bench.recorder import Recorder
from bench.scale import Scale
from bench.workload import key_of, value_of, write_text_file

_IMPORT_S_MAX = 250
_COMMANDS = {
    "rundlet": ["rundlet_server", "import", "--data"],
    "sqlite3": ["bench.peers.sqlite_import"],
}
_CHECK_KEYS = 1_000


@pytest.fixture(scope="module")
def text_file(work_folder: Path, scale: Scale) -> Path:
    path = work_folder / "rows.data"
    write_text_file(path, scale.import_rows)
    return path


@pytest.mark.parametrize("name", _COMMANDS)
def test_import(record: Recorder, text_file: Path, folder: Path, scale: Scale, name: str) -> None:
    data = folder / "data"

    def run_import() -> dict[str, float]:
        data.mkdir()
        began_s = time.monotonic()
        subprocess.run(
            [sys.executable, "-m", *_COMMANDS[name], data, text_file],
            cwd=ROOT,
            check=True,
            capture_output=True,
            timeout=_IMPORT_S_MAX,
        )
        took_s = time.monotonic() - began_s
        return {"s": took_s, "rows/s": scale.import_rows / took_s}

    record.figures(run_import, system=name, case=f"{scale.import_rows:,} rows")
    with contextlib.closing(BY_NAME[name].open(data, "never")) as engine:
        _check(engine, scale.import_rows)


def _check(engine: Engine, count: int) -> None:
    for first in range(0, count, _CHECK_KEYS):
        numbers = range(first, min(count, first + _CHECK_KEYS))
        expected = [value_of(number) for number in numbers]
        if engine.get_all([key_of(number) for number in numbers]) != expected:
            raise LoadFailed(f"some of the rows {numbers} are missing or have another value")
