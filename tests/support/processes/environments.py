"""Clean environments for tests of the installation: only what a distribution asks for is there."""

from __future__ import annotations

import subprocess
import sys
import venv
from collections.abc import Iterable, Iterator
from importlib import metadata
from pathlib import Path
from typing import Final

from packaging.requirements import Requirement

from tests.support import PATIENCE_S

HOSTILE: Final = ["cli", "functions", "server", "storage", "tests"]
"""What an app may call its own modules: our folders have these names."""

SHADOWS: Final = ["pickle", "selectors", "socket", "tempfile"]
"""Modules of the standard library that a worker needs before it has the import path of the server;
in the working directory an app's own must not take their place."""

TRAP: Final = 'raise SystemExit("trapped: " + __file__)\n'
"""A module that ends the process that imports it, and says so."""


class Environment:
    """A virtual environment with some wheels, and links to the packages that they require.

    The packages are those of the environment that runs the tests, so nothing is downloaded; and
    a requirement that a wheel does not declare is missing here.
    """

    def __init__(self, folder: Path, wheels: Iterable[Path], requirements: Iterable[str]) -> None:
        venv.create(folder, with_pip=False, symlinks=True)
        self.bin = folder / "bin"
        [self.site_packages] = folder.glob("lib/python3*/site-packages")
        for distribution in _required({Requirement(line).name for line in requirements}):
            for path in _entries_of(distribution):
                link = self.site_packages / path.name
                if not link.is_symlink():
                    link.symlink_to(path)
        pip = [sys.executable, "-m", "pip", "--python", str(self.bin / "python"), "install"]
        offline = ["--quiet", "--no-deps", "--no-index", "--no-compile"]
        subprocess.run([*pip, *offline, *map(str, wheels)], check=True, timeout=PATIENCE_S)

    def run(self, program: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        """Run one of the environment's programs to its end."""
        command = [str(self.bin / program), *map(str, arguments)]
        return subprocess.run(
            command, capture_output=True, text=True, timeout=PATIENCE_S, check=False
        )


def _required(names: set[str]) -> Iterator[metadata.Distribution]:
    """The distributions of these names, and what they require in turn, without extras."""
    done: set[str] = set()
    while names - done:
        name = min(names - done)
        done.add(name)
        distribution = metadata.distribution(name)
        yield distribution
        for line in distribution.requires or []:
            requirement = Requirement(line)
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                names.add(requirement.name)


def _entries_of(distribution: metadata.Distribution) -> set[Path]:
    """What a distribution has put into site-packages."""
    tops = {path.parts[0] for path in distribution.files or []} - {"..", "__pycache__"}
    return {Path(str(distribution.locate_file(top))) for top in tops}
