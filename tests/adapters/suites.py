"""The tests that other packages have for every backend, but install none of."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from tests.support import PATIENCE_S, ROOT
from tests.support.programs import missing


def suite_of(package: str) -> Path:
    """Return the source distribution of an installed package; skip what asks, if it is not here."""
    folder = ROOT / ".tools/suites" / f"{package}-{version(package)}"
    if not folder.is_dir():
        missing(f"the tests of {folder.name} are not here (scripts/install-suites gets them)")
    return folder


def suite_of_commit(package: str) -> Path:
    """Return the tests of a package from its repository; skip what asks, if they are not here.

    They are skipped in continuous integration, too: it promises what Debian and PyPI have.
    """
    script = (ROOT / "scripts/install-suites").read_text()
    commit = re.search(r"^commit=(\w+)", script, re.MULTILINE)[1]
    folder = ROOT / f".tools/suites/{package}-{commit}"
    if not folder.is_dir():
        pytest.skip(f"the tests of {package} are not here (scripts/install-suites asks GitHub)")
    return folder


def run_suite(program: str, tests: Path, folder: Path, address: str) -> str:
    """Run a test module in a process of its own, with a folder of tests that it may import.

    Returns:
        What pytest said; the tests have passed.
    """
    (folder / "test_rundlet.py").write_text(program)
    places = [str(tests), str(folder), str(ROOT), os.environ.get("PYTHONPATH", "")]
    ended = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"),
            *("--rootdir", folder, "-c", os.devnull, "test_rundlet.py"),
        ],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(places), "ADDRESS": address},
        capture_output=True,
        text=True,
        timeout=4 * PATIENCE_S,  # for all tests together
        check=False,
    )
    assert ended.returncode == 0, ended.stdout[-4_000:] + ended.stderr[-1_000:]
    return ended.stdout
