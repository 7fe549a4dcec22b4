"""How long does an import through a server take, compared with one into a folder?

Each is the command ``rundlet import``, its start included, and syncs the data before it ends.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from bench.errors import LoadFailed
from bench.http.processes import Processes
from bench.http.systems import granian_options, serve_rundlet
from bench.places import ROOT
from bench.recorder import Figures, Recorder
from bench.scale import CORES, Scale
from bench.workload import key_of, value_of, write_text_file
from rundlet import Client

_IMPORT_S_MAX = 250
_FOLDER = "rundlet, folder"
_LAYOUTS = {
    "rundlet, waitress": ["--server", "waitress"],
    f"rundlet, granian {CORES}x4": granian_options(CORES, 4),
}


@pytest.fixture(scope="module")
def text_file(work_folder: Path, scale: Scale) -> Path:
    path = work_folder / "rows.data"
    write_text_file(path, scale.import_rows)
    return path


@pytest.mark.parametrize("name", [_FOLDER, *_LAYOUTS])
def test_import(record: Recorder, text_file: Path, folder: Path, scale: Scale, name: str) -> None:
    case = f"{scale.import_rows:,} rows"
    with Processes(folder) as processes:
        place: list[str | Path] = ["--data", folder / "data"]
        if name in _LAYOUTS:
            url = f"http://127.0.0.1:{serve_rundlet(_LAYOUTS[name], processes, folder / 'data')}"
            place = ["--url", url]
        record.figures(lambda: _import(text_file, place, scale), system=name, case=case)
        if name in _LAYOUTS:
            _check(url, scale.import_rows)


def _import(text_file: Path, place: list[str | Path], scale: Scale) -> Figures:
    command = [sys.executable, "-m", "rundlet_server", "import", *place, text_file]
    began_s = time.monotonic()
    ended = subprocess.run(
        command, cwd=ROOT, capture_output=True, timeout=_IMPORT_S_MAX, check=False
    )
    took_s = time.monotonic() - began_s
    if ended.returncode:
        raise LoadFailed(ended.stderr.decode())
    return {"s": took_s, "rows/s": scale.import_rows / took_s}


def _check(url: str, count: int) -> None:
    with Client(url) as client:
        for number in (0, count // 2, count - 1):
            value = client.get(key_of(number))
            if value is None or value.data != value_of(number):
                raise LoadFailed(f"row {number} is missing or has another value")
