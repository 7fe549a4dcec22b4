"""Files that a crash left behind: written, and named by no manifest."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from rundlet_server.storage.errors import Damaged, UnknownFormat
from rundlet_server.storage.files import Files
from rundlet_server.storage.log.format.manifest import Manifest
from rundlet_server.storage.log.format.names import index_name, segment_name
from rundlet_server.storage.log.format.segment import HEADER_SIZE, Segment

_OURS: Final = re.compile(r"\d{10}\.(log|idx)|(?!TOKENS).+\.tmp")  # tokens may be changed right now


def remove_leftovers(files: Files, folder: Path, manifest: Manifest) -> list[str]:
    """Remove them; says which. The caller holds both locks.

    Segments that compaction has replaced go before others can be replaced, in the order of
    the log, like compaction itself does it: what is left of them at any time still holds
    the tombstone of every dead record in it. So a repair that has lost the manifest may
    read them beside all others and no deleted key comes back.
    """
    keep = set(unnamed_commits(files, folder, manifest))
    removed = [name for name in unnamed_files(files, folder, manifest) if name not in keep]
    removed.sort(key=lambda name: (_first_revision(files, folder, name), name))
    for name in removed:
        files.unlink(folder / name)
        files.sync_folder(folder)
    return removed


def unnamed_commits(files: Files, folder: Path, manifest: Manifest) -> list[str]:
    """Segments that hold commits and that the manifest has never known.

    Numbers are given out by the manifest, in order: no crash leaves such a segment. Somebody
    put an older manifest back, and the data may be all there is.
    """
    return [
        name
        for name in sorted(unnamed_files(files, folder, manifest))
        if name.endswith(".log")
        and int(name.removesuffix(".log")) >= manifest.next_segment
        and _first_revision(files, folder, name)
    ]


def unnamed_files(files: Files, folder: Path, manifest: Manifest) -> list[str]:
    """Files of a store that a manifest does not name."""
    named = {segment_name(state.number) for state in manifest.segments}
    named |= {index_name(state.number) for state in manifest.indexes}
    return [name for name in files.names(folder) if _OURS.fullmatch(name) and name not in named]


def _first_revision(files: Files, folder: Path, name: str) -> int:
    """Revision of the first frame of a segment; 0 where there is none."""
    if not name.endswith(".log"):
        return 0
    try:
        segment = Segment.open(files, folder, int(name.removesuffix(".log")), writable=False)
    except (Damaged, UnknownFormat, FileNotFoundError):
        return 0
    try:
        frame = next(segment.frames(HEADER_SIZE, segment.file.size()), None)
    except Damaged:
        return 0
    finally:
        segment.file.close()
    return frame.revision if frame else 0
