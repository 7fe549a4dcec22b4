"""Make a small file system, for tests that fill it."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def mounted(folder: Path, size: int) -> Iterator[Path]:
    """A new folder, which is a file system of so many bytes until the block ends.

    Where that cannot be done it is just a folder; ``Path.is_mount`` tells.
    """
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    is_small = not (
        os.getuid() or subprocess.run(mount, capture_output=True, check=False).returncode
    )
    try:
        yield folder
    finally:
        if is_small:
            subprocess.run(["umount", "-l", str(folder)], check=True)


def used_bytes(folder: Path) -> int:
    """Return the size of all files of a folder, from which others may remove files meanwhile."""
    total = 0
    for path in folder.iterdir():
        with contextlib.suppress(FileNotFoundError):
            total += path.stat().st_size
    return total


def free_bytes(folder: Path) -> int:
    """Return the free space on the disk of a folder."""
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize
