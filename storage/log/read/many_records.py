"""Read the bytes of many records in few calls."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from operator import add
from typing import Final

from rundlet_server.storage.files import File, RealFile
from rundlet_server.storage.log.format.locator import OFFSET_BITS, OFFSET_MAX
from rundlet_server.storage.log.read.page_cache import read_cached

_NEAR_BYTES: Final = 2_048
"""Reading this many more bytes takes about as long as another system call."""

_FILES_MAX: Final = 16
"""At most this many files are held open at a time: a process may have few descriptors, and each
segment that is held stays open."""


def read_records(
    file_of: Callable[[int], File],
    positions: Sequence[int],
    sizes: Sequence[int],
    *,
    may_wait: bool,
) -> list[bytes]:
    """Return the bytes at some places in the log, not verified.

    A record has fewer bytes than its size if the file ends, or if the system returns fewer.

    Args:
        file_of: returns the file of a segment, by its number.
        positions: of the records, at least one; see ``pack_position``.
        sizes: of the records.
        may_wait: for a disk; otherwise ``BlockingIOError`` is raised instead.
    """
    first, near = min(positions), _NEAR_BYTES * len(positions)
    if max(positions) - first < near and (size := max(map(add, positions, sizes)) - first) <= near:
        file, offset = file_of(first >> OFFSET_BITS), first & OFFSET_MAX
        data = file.pread(size, offset) if may_wait else read_cached(file, size, offset)
        starts = [position - first for position in positions]
        return [data[start : start + size] for start, size in zip(starts, sizes, strict=True)]
    numbers = [position >> OFFSET_BITS for position in positions]
    offsets = [position & OFFSET_MAX for position in positions]
    if len(set(numbers)) > _FILES_MAX:
        one = _read if may_wait else read_cached
        return [
            one(file_of(number), *rest)
            for number, *rest in zip(numbers, sizes, offsets, strict=True)
        ]
    files = {number: file_of(number) for number in set(numbers)}
    descriptors = {
        number: file.fileno() for number, file in files.items() if isinstance(file, RealFile)
    }
    if may_wait and len(descriptors) == len(files):
        # ``RealFile.pread``, which continues after a short read, takes half as long again.
        return list(map(os.pread, map(descriptors.__getitem__, numbers), sizes, offsets))
    read = _read if may_wait else read_cached
    return list(map(read, map(files.__getitem__, numbers), sizes, offsets))


def _read(file: File, size: int, offset: int) -> bytes:
    return file.pread(size, offset)
