"""Verify a backup directory: read every byte that a backup consists of, and change nothing.

A segment is read once, however many backups hold it: each backup has the hash of the segment up to
its size at that time.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rundlet_server.storage.errors import Damaged, UnknownFormat
from rundlet_server.storage.log.backup.index import BackupIndex, read_index
from rundlet_server.storage.log.backup.names import is_index
from rundlet_server.storage.log.backup.pieces import (
    Piece,
    SegmentKey,
    chain_of,
    end_of,
    pieces_in,
    read_range,
)
from rundlet_server.storage.log.backup.places import BackupPlace
from rundlet_server.storage.log.format.manifest import FILE_NAME as MANIFEST_NAME
from rundlet_server.storage.log.format.manifest import decode_manifest
from rundlet_server.storage.log.format.names import segment_name

Progress = Callable[[int, int], None]
"""Called with the bytes read so far and all bytes to read."""


@dataclass(slots=True)
class BackupReport:
    """What was found, and how much was read.

    Attributes:
        problems: empty if all is well.
        backups: those whose index can be read, oldest first.
        bytes_read: of segments.
    """

    problems: list[Damaged] = field(default_factory=list)
    backups: list[BackupIndex] = field(default_factory=list)
    bytes_read: int = 0


def verify_backups(place: BackupPlace, progress: Progress | None = None) -> BackupReport:
    """Read all backups of a place and report all that is wrong with them."""
    return _Verification(place, progress).run()


class _Verification:
    def __init__(self, place: BackupPlace, progress: Progress | None) -> None:
        self._place = place
        self._progress = progress
        self._report = BackupReport()
        self._hashes: dict[SegmentKey, dict[int, set[str]]] = {}
        self._total = 0

    def run(self) -> BackupReport:
        sizes = self._place.sizes()
        for name in filter(is_index, sorted(sizes)):
            try:
                index = read_index(self._place, name)
                self._check_manifest(index)
                self._report.backups.append(index)
            except Damaged as ex:
                self._report.problems.append(ex)
            except UnknownFormat as ex:
                self._report.problems.append(Damaged(self._path(name), 0, str(ex)))
        self._report.backups.sort(key=lambda index: (index.time_us, index.revision))
        for index in self._report.backups:
            for file in index.files:
                hashes = self._hashes.setdefault((index.store_id, file.name), {})
                hashes.setdefault(file.size, set()).add(file.sha256)
        self._total = sum(max(hashes) for hashes in self._hashes.values())
        pieces = pieces_in(sizes)
        for key in sorted(self._hashes):
            try:
                self._check_segment(key, chain_of(pieces.get(key, ())))
            except Damaged as ex:
                self._report.problems.append(ex)
        return self._report

    def _check_manifest(self, index: BackupIndex) -> None:
        """Check that a backup has every segment that its manifest names, as large as it says."""
        path = self._path(index.name)
        manifest = decode_manifest(index.contents.get(MANIFEST_NAME, b""), path)
        sizes = {file.name: file.size for file in index.files}
        for state in manifest.segments:
            size = sizes.get(segment_name(state.number), -1)
            if size < state.size or (state.size and size != state.size):
                raise Damaged(path, 0, f"segment {state.number} is not as the manifest says")

    def _check_segment(self, key: SegmentKey, chain: Sequence[Piece]) -> None:
        """Check a segment up to each size that it had when it was backed up."""
        hasher = hashlib.sha256()
        hashed = 0
        for size, wanted in sorted(self._hashes[key].items()):
            for data in read_range(self._place, list(chain), hashed, size):
                hasher.update(data)
                self._report.bytes_read += len(data)
                if self._progress is not None:
                    self._progress(self._report.bytes_read, self._total)
            if wanted != {hasher.hexdigest()}:
                piece = self._piece_at(chain, hashed)
                reason = f"the bytes of {key[1]} from {hashed} to {size} are not what was backed up"
                raise Damaged(self._path(piece.name), max(0, hashed - piece.start), reason)
            hashed = size

    def _piece_at(self, chain: Sequence[Piece], offset: int) -> Piece:
        assert end_of(list(chain)) > offset, "it has been read"
        return next(piece for piece in chain if piece.end > offset)

    def _path(self, name: str) -> Path:
        return Path(str(self._place)) / name
