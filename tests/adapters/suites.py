"""The tests that other packages have for every backend, but install none of."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

from tests.support import ROOT
from tests.support.programs import missing


def suite_of(package: str) -> Path:
    """Return the source distribution of an installed package; skip what asks, if it is not here."""
    folder = ROOT / ".tools/suites" / f"{package}-{version(package)}"
    if not folder.is_dir():
        missing(f"the tests of {folder.name} are not here (scripts/install-suites gets them)")
    return folder
