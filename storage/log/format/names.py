"""Names of the files of a store, and the numbers in them."""

from __future__ import annotations

from pathlib import Path

from rundlet_server.storage.files import Files

_DIGITS = 10  # fixed width, so that names sort like numbers


def segment_name(number: int) -> str:
    """Return the file name of a segment."""
    return f"{number:0{_DIGITS}d}.log"


def index_name(number: int) -> str:
    """Return the file name of an index file."""
    return f"{number:0{_DIGITS}d}.idx"


def segment_numbers(files: Files, folder: Path) -> list[int]:
    """Return the numbers of all segment files in a folder, ascending."""
    return _numbers(files, folder, ".log")


def index_numbers(files: Files, folder: Path) -> list[int]:
    """Return the numbers of all index files in a folder, ascending."""
    return _numbers(files, folder, ".idx")


def _numbers(files: Files, folder: Path, ending: str) -> list[int]:
    stems = (name.removesuffix(ending) for name in files.names(folder) if name.endswith(ending))
    return sorted(int(stem) for stem in stems if stem.isdigit() and len(stem) == _DIGITS)
