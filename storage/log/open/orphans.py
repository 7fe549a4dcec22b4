"""Orphaned files: a crash left them behind, and no manifest names them."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from rundlet_server.storage.errors import Damaged, UnknownFormat
from rundlet_server.storage.files import Files, file_size
from rundlet_server.storage.log.format.manifest import Manifest
from rundlet_server.storage.log.format.names import (
    TEMPORARY_SUFFIX,
    index_number,
    segment_number,
    times_number,
)
from rundlet_server.storage.log.format.segment import HEADER_SIZE, Segment

_TOKENS: Final = "TOKENS"  # another process may be changing the tokens right now


def remove_orphans(files: Files, folder: Path, manifest: Manifest) -> list[str]:
    """Remove the orphaned files of a store and return their names; the caller holds both locks.

    Segments that compaction has replaced are removed in the order of the log, as compaction itself
    removes them, and before it can replace others. So the ones that remain at any time still hold
    the tombstone of every dead record in them. A repair without the manifest may read them beside
    all others, and no deleted key comes back.
    """
    keep = set(unnamed_commits(files, folder, manifest))
    removed = [name for name in unnamed_files(files, folder, manifest) if name not in keep]
    removed.sort(key=lambda name: (_first_revision(files, folder, name), name))
    for name in removed:
        files.unlink(folder / name)
        files.sync_folder(folder)
    return removed


def unnamed_commits(files: Files, folder: Path, manifest: Manifest) -> list[str]:
    """Return the segments that hold commits and that the manifest has never known.

    The manifest reserves numbers in order, so no crash leaves such a segment. If there is one, an
    older manifest was put back, and the segment may be the only copy of its data.
    """
    return [
        name
        for name in sorted(unnamed_files(files, folder, manifest))
        if (segment_number(name) or 0) >= manifest.next_segment
        and file_size(files, folder / name) > HEADER_SIZE
    ]


def unnamed_files(files: Files, folder: Path, manifest: Manifest) -> list[str]:
    """Return the files of a store that the manifest does not name."""
    named = manifest.file_names
    return [name for name in files.names(folder) if _is_ours(name) and name not in named]


def _is_ours(name: str) -> bool:
    """Return whether the log store writes files with such a name and a manifest names them."""
    if name.endswith(TEMPORARY_SUFFIX):
        return name != TEMPORARY_SUFFIX and not name.startswith(_TOKENS)
    return any(number(name) is not None for number in (segment_number, index_number, times_number))


def _first_revision(files: Files, folder: Path, name: str) -> int:
    """Return the revision of the first frame of a segment; 0 if there is none."""
    number = segment_number(name)
    if number is None:
        return 0
    try:
        segment = Segment.open(files, folder, number, writable=False)
    except (Damaged, UnknownFormat, FileNotFoundError):
        return 0
    try:
        frame = next(segment.frames(HEADER_SIZE, segment.file.size()), None)
    except Damaged:
        return 0
    finally:
        segment.file.close()
    return frame.revision if frame else 0
