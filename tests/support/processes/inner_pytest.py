"""Run a file of tests on a copy of the sources, in a pytest of its own, and tell what failed there.

Only a test that fails counts. Whatever else goes wrong says nothing about the copy, and raises
``BrokenRun``: a run that does not end, sources that cannot be imported, a fixture that fails, a
process that is killed.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Final, NamedTuple
from xml.etree import ElementTree

from tests.support import ROOT
from tests.support.campaign import SEED_VARIABLE

SOURCES: Final = ("cli", "functions", "rundlet", "rundlet_server", "server", "storage", "tests")
_PASSED: Final = 0
_FAILED: Final = 1


class BrokenRun(Exception):
    """The tests did not run to an outcome, so nothing is known about the copy."""


class Run(NamedTuple):
    """The outcome of a file of tests.

    Attributes:
        failed: the node id of the test that failed, or ``None``; the run ends with the first.
        passed: the number of tests that passed.
        seconds: that the run took.
    """

    failed: str | None
    passed: int
    seconds: float


def copy_sources(folder: Path) -> None:
    """Copy what the tests need into a folder, where it may be changed."""
    for name in SOURCES:
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, folder / name, symlinks=True, ignore=ignored)
    shutil.copy(ROOT / "pyproject.toml", folder)


def run_tests(copy: Path, test: str, *, seed: int, seconds_max: float) -> Run:
    """Run a file of tests, or one test, until the first failure.

    Args:
        copy: the folder with the sources.
        test: the file, relative to the folder.
        seed: of all that is chosen by chance.
        seconds_max: after which the run is stopped.

    Raises:
        BrokenRun: there is no outcome.
    """
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        output = Path(folder) / "output"
        begin_s = time.monotonic()
        code = _run(copy, [*_options(seed, report), test], seed, output, seconds_max)
        seconds = time.monotonic() - begin_s
        context = f"{test}, seed {seed}: {_tail(output)}"
        if code is None:
            raise BrokenRun(f"stopped without an outcome after {seconds:.0f} s: {context}")
        return _outcome(code, report, test, context)._replace(seconds=seconds)


def _options(seed: int, report: Path) -> list[str]:
    """The inner run has no limit of its own: pytest would call a test that hangs a failed one.

    Plugins that no planted bug needs are left out: they take longer to import than all the rest.
    """
    return [
        *("-q", "-x", "--tb=line", "-p", "no:cacheprovider", "--timeout=0"),
        *("-p", "no:schemathesis", "-p", "no:zarr"),
        *(f"--hypothesis-seed={seed}", f"--junit-xml={report}"),
    ]


def _run(copy: Path, options: list[str], seed: int, output: Path, seconds_max: float) -> int | None:
    """Return the exit code; ``None`` if the time is over, and then all its processes are killed."""
    environment = {
        **os.environ,
        SEED_VARIABLE: str(seed),
        "PYTHONPATH": str(copy),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    # Not into a pipe: what outlives a killed pytest would hold it open.
    with output.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "pytest", *options],
            cwd=copy,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        return process.wait(seconds_max)
    except subprocess.TimeoutExpired:
        return None
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _outcome(code: int, report: Path, test: str, context: str) -> Run:
    if code not in (_PASSED, _FAILED) or not report.exists():
        raise BrokenRun(f"exit code {code}: {context}")
    cases = list(ElementTree.parse(report).iter("testcase"))
    failed = [_node_id(case, test) for case in cases if case.find("failure") is not None]
    passed = sum(1 for case in cases if not len(case))
    if code == _FAILED and not failed:
        raise BrokenRun(f"no test failed, but a fixture or a file: {context}")
    if code == _PASSED and not passed:
        raise BrokenRun(f"no test ran: {context}")
    return Run(failed[0] if failed else None, passed, 0.0)


def _node_id(case: ElementTree.Element, test: str) -> str:
    """Return how pytest calls a test: ``file::Class::name``."""
    file = test.partition("::")[0]
    module = file.removesuffix(".py").replace("/", ".")
    classes = case.get("classname", "").removeprefix(module).replace(".", "::")
    return f"{file}{classes}::{case.get('name')}"


def _tail(output: Path) -> str:
    return output.read_text(errors="replace")[-4_000:]
