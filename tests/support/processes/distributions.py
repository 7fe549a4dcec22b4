"""Building both distributions in tests, and what they are called."""

from __future__ import annotations

import email
import re
import shutil
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from email.message import Message
from pathlib import Path

from rundlet.version import __version__ as version
from tests.support import PATIENCE_S, ROOT

SERVER = f"rundlet-{version}"
CLIENT = f"rundlet_client-{version}"


@dataclass(frozen=True)
class Built:
    """A folder with what was built of one distribution."""

    folder: Path
    name: str

    @property
    def wheel(self) -> Path:
        return self.folder / f"{self.name}-py3-none-any.whl"

    @property
    def source(self) -> Path:
        return self.folder / f"{self.name}.tar.gz"

    def names(self) -> set[str]:
        with zipfile.ZipFile(self.wheel) as archive:
            return set(archive.namelist())

    def metadata(self) -> Message:
        with zipfile.ZipFile(self.wheel) as archive:
            text = archive.read(f"{self.name}.dist-info/METADATA").decode()
        return email.message_from_string(text)

    def requirements(self, extra: str | None = None) -> list[str]:
        """The lines of what it requires; of one extra, or of none."""
        lines = (line.partition("; ") for line in self.metadata().get_all("Requires-Dist") or [])
        marker = f"extra == '{extra}'" if extra else ""
        return [requirement for requirement, _, found in lines if found == marker]


def build(project: Path, folder: Path, *targets: str) -> None:
    """Build with the backend of this environment: no network, no isolation."""
    chosen = [word for target in targets for word in ("--target", target)]
    command = [sys.executable, "-m", "hatchling", "build", "--directory", str(folder), *chosen]
    subprocess.run(command, cwd=project, check=True, capture_output=True, timeout=PATIENCE_S)


def copy_sources(folder: Path) -> None:
    """Copy what the build stage of the container copies, without caches.

    So a file that the build needs and the container misses is missing in tests, too.
    """
    build_stage = (ROOT / "deploy/Dockerfile").read_text().split("FROM ")[1]
    for words in re.findall(r"^COPY (.*)", build_stage, re.MULTILINE):
        *names, target = words.split()
        for name in names:
            place = folder / (target if target != "./" else name)
            place.parent.mkdir(parents=True, exist_ok=True)
            if (ROOT / name).is_dir():
                unwanted = shutil.ignore_patterns("__pycache__")
                shutil.copytree(ROOT / name, place, symlinks=True, ignore=unwanted)
            else:
                shutil.copy(ROOT / name, place)
