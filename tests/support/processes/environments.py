"""Clean environments for tests of the installation: only what a distribution asks for is there."""

from __future__ import annotations

import subprocess
import sys
import venv
from collections.abc import Iterable, Iterator
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement


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
        subprocess.run([*pip, *offline, *map(str, wheels)], check=True, timeout=60)

    def run(self, program: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        """Run one of the environment's programs to its end."""
        command = [str(self.bin / program), *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


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
