"""Names of the files of a store, and the numbers in them."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from rundlet_server.storage.files import Files

SEGMENT_SUFFIX: Final = ".log"
INDEX_SUFFIX: Final = ".idx"
TIMES_SUFFIX: Final = ".tim"
TEMPORARY_SUFFIX: Final = ".tmp"
_DIGITS: Final = 10  # fixed width, so that names sort like numbers


def segment_name(number: int) -> str:
    """Return the file name of a segment."""
    return f"{number:0{_DIGITS}d}{SEGMENT_SUFFIX}"


def index_name(number: int) -> str:
    """Return the file name of an index file."""
    return f"{number:0{_DIGITS}d}{INDEX_SUFFIX}"


def times_name(segment: int) -> str:
    """Return the name of the times file of a segment."""
    return f"{segment:0{_DIGITS}d}{TIMES_SUFFIX}"


def segment_number(name: str) -> int | None:
    """Return the number in the file name of a segment; ``None`` for any other name."""
    return _number(name, SEGMENT_SUFFIX)


def index_number(name: str) -> int | None:
    """Return the number in the file name of an index file; ``None`` for any other name."""
    return _number(name, INDEX_SUFFIX)


def times_number(name: str) -> int | None:
    """Return the number of the segment in the name of a times file; ``None`` for any other name."""
    return _number(name, TIMES_SUFFIX)


def segment_numbers(files: Files, folder: Path) -> list[int]:
    """Return the numbers of all segment files in a folder, ascending."""
    found = map(segment_number, files.names(folder))
    return sorted(number for number in found if number is not None)


def index_numbers(files: Files, folder: Path) -> list[int]:
    """Return the numbers of all index files in a folder, ascending."""
    found = map(index_number, files.names(folder))
    return sorted(number for number in found if number is not None)


def _number(name: str, suffix: str) -> int | None:
    stem = name.removesuffix(suffix)
    is_ours = name.endswith(suffix) and len(stem) == _DIGITS and stem.isdecimal() and stem.isascii()
    return int(stem) if is_ours else None
