"""Find the segments whose bytes still hold versions of erased keys, live or dead.

The index cannot tell: it drops a version that nothing needs any more, but the record stays in its
segment until compaction rewrites the segment. A failed sync may leave records even behind the
frames of a segment. So the whole file is searched for the bytes of the key, and the bytes before
each match tell whether it is the key of a record. To walk from record to record would take ten
times as long.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Final

from rundlet_server.storage.files import File
from rundlet_server.storage.log.format.record import HEADER
from rundlet_server.storage.log.read.view import View

EndLeases = Callable[[Callable[[File], bool], Collection[str]], None]
"""Ends the backup leases with a file for which the function returns true; see
``Leases.end_all_with``."""

_CHUNK_BYTES: Final = 4 * 1024 * 1024


def segments_to_clean(view: View) -> set[int]:
    """Return the numbers of the indexed segments that hold versions of erased keys.

    Only erasures in the manifest count: all versions older than these are in segments with index
    files.
    """
    erased = view.manifest.erased
    if not erased:
        return set()
    return {
        state.number
        for state in view.manifest.segments
        if state.is_indexed and holds_any(view.segment(state.number).file, erased)
    }


def still_erased(erased: Mapping[bytes, int], cleaned: Mapping[bytes, int]) -> dict[bytes, int]:
    """Return which erasures are left when all files have been cleaned of some."""
    return {key: revision for key, revision in erased.items() if cleaned.get(key) != revision}


def holds_any(file: File, erased: Mapping[bytes, int]) -> bool:
    """Return whether a segment holds a version of a key that was erased since."""
    overlap = HEADER.size + max(map(len, erased))
    for end in range(_CHUNK_BYTES, file.size() + _CHUNK_BYTES, _CHUNK_BYTES):
        start = max(0, end - _CHUNK_BYTES - overlap)
        data = file.pread(end - start, start)
        if any(_holds(data, key, revision) for key, revision in erased.items()):
            return True
    return False


def _holds(data: bytes, key: bytes, erased_at: int) -> bool:
    """Return whether there is the head of a record of a key that is older than its erasure."""
    place = data.find(key, HEADER.size)
    while place >= 0:
        head = HEADER.unpack_from(data, place - HEADER.size)
        if head[1] == len(key) and head[7] < erased_at:
            return True
        place = data.find(key, place + 1)
    return False
