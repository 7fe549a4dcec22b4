"""How long does an import take through a server, and how fast is an export?

The import of the same file of UUID lines into a folder, without a server, is measured in turn. The
export is compared with the pages of a list that hold the same values.
"""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from bench.errors import LoadFailed
from bench.places import ROOT
from bench.recorder import Recorder
from bench.scale import Scale
from bench.systems.catalogue import (
    GRANIAN,
    GRANIAN_OPTIONS,
    WAITRESS,
    WAITRESS_OPTIONS,
    serve_rundlet,
)
from bench.systems.processes import Processes
from bench.workload import write_text_file

_S_MAX: Final = 250
_LAYOUTS: Final = {WAITRESS.name: WAITRESS_OPTIONS, GRANIAN.name: GRANIAN_OPTIONS}
_FOLDER: Final = "folder"
_STEP_BYTES: Final = 1024 * 1024


@pytest.fixture(scope="module")
def text_file(work_folder: Path, scale: Scale) -> Path:
    path = work_folder / "rows.data"
    write_text_file(path, scale.import_rows)
    return path


@pytest.mark.parametrize("name", [_FOLDER, *_LAYOUTS])
def test_import(record: Recorder, text_file: Path, folder: Path, scale: Scale, name: str) -> None:
    data = folder / "data"
    with Processes(folder) as processes:
        place = ["--data", str(data)]
        if name != _FOLDER:
            port = serve_rundlet(_LAYOUTS[name], processes, data)
            place = ["--url", f"http://127.0.0.1:{port}"]

        def run() -> dict[str, float]:
            took_s = _import(text_file, place)
            figures = {"s": took_s, "rows/s": scale.import_rows / took_s}
            if name != _FOLDER:
                figures["exported rows/s"] = _rate(_export(port), scale.import_rows)
                figures["listed rows/s"] = _rate(_pages(port), scale.import_rows)
            return figures

        record.figures(run, system=name, case=f"{scale.import_rows:,} rows")


def _rate(counts: Iterator[int], expected: int) -> float:
    began_s = time.monotonic()
    count = sum(counts)
    if count != expected:
        raise LoadFailed(f"{count} rows came instead of {expected}")
    return count / (time.monotonic() - began_s)


def _export(port: int) -> Iterator[int]:
    """Yield the numbers of rows of the pieces of an export."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_S_MAX)
    connection.request("GET", "/v1/export")
    answer = connection.getresponse()
    while piece := answer.read(_STEP_BYTES):
        yield piece.count(b"\n")
    connection.close()


def _pages(port: int) -> Iterator[int]:
    """Yield the numbers of keys of the pages of a list with values."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_S_MAX)
    target: str | None = "/v1/keys?include=value&limit=1000"
    while target:
        connection.request("GET", target)
        page = json.loads(connection.getresponse().read())
        yield len(page["keys"])
        target = page.get("next")
    connection.close()


def _import(file: Path, place: list[str]) -> float:
    began_s = time.monotonic()
    subprocess.run(
        [sys.executable, "-m", "rundlet_server", "import", *place, file],
        cwd=ROOT,
        check=True,
        capture_output=True,
        timeout=_S_MAX,
    )
    return time.monotonic() - began_s
