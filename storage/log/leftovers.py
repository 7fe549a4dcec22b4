"""Files that a crash left behind: written, and named by no manifest."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from storage.errors import Damaged, UnknownFormat
from storage.files import Files
from storage.log.index_file import index_name
from storage.log.manifest import Manifest
from storage.log.segment import APPENDED, HEADER_SIZE, Segment, segment_name

_OURS: Final = re.compile(r"(?P<number>\d{10})\.(log|idx)|.+\.tmp")


def remove_leftovers(files: Files, folder: Path, manifest: Manifest) -> list[str]:
    """Remove them; says which. The caller holds both locks.

    A segment that was appended to and holds more than its header is never removed: no crash
    leaves one, so somebody put an older manifest back, and the data may be all there is.
    """
    named = {segment_name(state.number) for state in manifest.segments}
    named |= {index_name(state.number) for state in manifest.indexes}
    removed = []
    for name in sorted(files.names(folder)):
        if name in named or not _OURS.fullmatch(name) or _holds_commits(files, folder, name):
            continue
        files.unlink(folder / name)
        removed.append(name)
    return removed


def _holds_commits(files: Files, folder: Path, name: str) -> bool:
    if not name.endswith(".log"):
        return False
    try:
        segment = Segment.open(files, folder, int(name.removesuffix(".log")))
    except (Damaged, UnknownFormat):
        return False
    holds_commits = segment.header.origin == APPENDED and segment.file.size() > HEADER_SIZE
    segment.file.close()
    return holds_commits
