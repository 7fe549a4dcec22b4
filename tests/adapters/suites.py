"""The tests that other packages have for every backend, but install none of."""

from __future__ import annotations

import os
from importlib.metadata import version
from pathlib import Path

import pytest

from tests.support import ROOT


def suite_of(package: str) -> Path:
    """Return the source distribution of an installed package; skip what asks, if it is not here."""
    folder = ROOT / ".tools/suites" / f"{package}-{version(package)}"
    if not folder.is_dir():
        message = f"the tests of {folder.name} are not here; scripts/install-suites gets them"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message, allow_module_level=True)
    return folder
