"""Find the highest revision that anything in a folder knows of.

A repair must not let the revision go back, even if only older records are left.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from rundlet_server.storage.errors import Damaged, UnknownFormat
from rundlet_server.storage.files import Files
from rundlet_server.storage.log.check import salvage
from rundlet_server.storage.log.check.salvage import Gap
from rundlet_server.storage.log.format.manifest import FILE_NAME, Manifest, read_manifest
from rundlet_server.storage.log.format.names import segment_numbers
from rundlet_server.storage.log.format.segment import HEADER_SIZE, Segment
from rundlet_server.storage.log.repair.known_versions import KnownIndex
from rundlet_server.storage.log.repair.report import Loss
from rundlet_server.storage.log.repair.sources import Source

ORIGINALS_PREFIX: Final = "repair-"
"""The name of a folder with the files that a repair has replaced; a number follows."""


def known_revision(
    files: Files,
    folder: Path,
    *,
    manifest: Manifest | None,
    indexes: Sequence[KnownIndex],
    sources: Sequence[Source],
) -> int:
    """Return the highest revision in the manifests, the index files and all segments.

    Revisions that were never acknowledged count, too: a reader may have seen them.

    Args:
        files: the file system.
        folder: of the store.
        manifest: if it can be read.
        indexes: all that can be read.
        sources: the segments that the repair has read, up to where each holds commits.
    """
    found = [0, *(index.last_revision for index in indexes)]
    found += [source.last_revision for source in sources]
    if manifest is not None:
        found += [state.last_revision for state in manifest.segments]
        found.append(manifest.oldest_revision)
    found += [kept.active.last_revision for _, kept in kept_manifests(files, folder)]
    ends = {source.number: source.end for source in sources}
    for number in segment_numbers(files, folder):
        found.append(_last_revision(files, folder, number, ends.get(number, HEADER_SIZE)))
    return max(found)


def known_floor(files: Files, folder: Path, manifest: Manifest | None) -> int:
    """Return the highest revision floor of the manifest, and of those that repairs have kept."""
    floors = [manifest.revision_floor] if manifest else [0]
    return max(floors + [kept.revision_floor for _, kept in kept_manifests(files, folder)])


def kept_manifests(files: Files, folder: Path) -> Iterator[tuple[Path, Manifest]]:
    """Yield the manifests that can be read among those that repairs have kept, and their paths."""
    for name in files.names(folder):
        if name.startswith(ORIGINALS_PREFIX):
            with contextlib.suppress(Damaged, UnknownFormat, OSError):
                yield folder / name / FILE_NAME, read_manifest(files, folder / name)


def unreached(files: Files, folder: Path, last_revision: int) -> Iterator[Loss]:
    """Yield a loss if a kept manifest knows of later commits than all segments and index files.

    Every commit is above the floor of the manifest that it was made under. If the head is at the
    floor or below it, a repair has set it, and no commit followed.

    Args:
        files: the file system.
        folder: of the store.
        last_revision: the highest of the segments and index files.
    """
    found = [
        (kept.active.last_revision, path)
        for path, kept in kept_manifests(files, folder)
        if kept.active.last_revision > max(last_revision, kept.revision_floor)
    ]
    if found:
        head, path = max(found)
        reason = (
            f"this manifest of an earlier repair knows revision {head}, and the store has"
            f" nothing after {last_revision}; unless all were deletes, commits are lost"
        )
        yield Loss(path, 0, 0, reason)


def _last_revision(files: Files, folder: Path, number: int, start: int) -> int:
    """Return the highest revision of the whole frames of a segment from ``start`` on."""
    try:
        segment = Segment.open(files, folder, number, writable=False)
    except (Damaged, UnknownFormat, OSError):
        return 0
    try:
        return max(_revisions(segment, start), default=0)
    finally:
        segment.file.close()


def _revisions(segment: Segment, start: int) -> Iterator[int]:
    for piece in salvage.pieces(segment, start, segment.file.size()):
        if not isinstance(piece, Gap):
            yield piece.revision
