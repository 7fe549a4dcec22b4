"""Programs that tests need; ``make install`` or ``scripts/install-servers`` installs them."""

from __future__ import annotations

import os
import shutil
import sys
from typing import NoReturn

import pytest

_FOLDERS = os.pathsep.join(
    [os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin", os.path.dirname(sys.executable)]
)


def program(name: str) -> str:
    """Return the path of a program.

    Without it the test is skipped by name; in continuous integration, where the program is
    installed first, the test fails: there a skip would hide that nothing was tested.
    """
    path = shutil.which(name, path=_FOLDERS)
    if path is None:
        missing(f"{name} is not installed (make install or scripts/install-servers installs it)")
    return path


def missing(reason: str) -> NoReturn:
    """Skip the test because of what this machine lacks; fail it in continuous integration."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"{reason}, and CI=true promises it")
    pytest.skip(reason)
