"""Find what index files still know of versions that the log has lost."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from rundlet_server.storage.errors import Damaged, UnknownFormat
from rundlet_server.storage.files import Files, file_size
from rundlet_server.storage.log.format.locator import OFFSET_BITS, offset_of, segment_of
from rundlet_server.storage.log.format.names import index_name
from rundlet_server.storage.log.format.record import TOMBSTONES, Record
from rundlet_server.storage.log.index.columns import KIND_MASK, Columns
from rundlet_server.storage.log.index.file import IndexFile

Numbers = npt.NDArray[np.uint64]


class KnownVersion(NamedTuple):
    """A version of a key, as an index file knows it."""

    revision: int
    segment: int
    offset: int
    size: int
    key: bytes
    kind: int

    @property
    def is_tombstone(self) -> bool:
        """Whether the key had no value from this revision on."""
        return self.kind in TOMBSTONES

    def as_tombstone(self) -> Record:
        """Return the record of a delete: the index knows everything in it but its time."""
        return Record(self.key, b"", self.kind, self.revision, 0, 0)


class KnownIndex:
    """An index file that can be read as a whole.

    It covers the log without a hole from its first to its last revision: versions that it leaves
    out there were no longer needed when it was written.

    Attributes:
        number: of the file; a later file has a higher one.
        first_revision, last_revision: of its rows; 0 if it has none.
    """

    def __init__(self, file: IndexFile, columns: Columns) -> None:
        self.number = file.number
        self._file = file
        self._columns = columns
        revisions = columns.rows["revision"][:-1]
        self.first_revision = int(revisions.min()) if len(revisions) else 0
        self.last_revision = int(revisions.max()) if len(revisions) else 0

    def is_in_any(self, segments: Collection[int]) -> bool:
        """Return whether any row is in one of these segments."""
        positions = self._columns.rows["position"][:-1]
        wanted = np.array(sorted(segments), np.uint64)
        return bool(np.isin(positions >> np.uint64(OFFSET_BITS), wanted).any())

    def covers(self, revision: int) -> bool:
        """Return whether a revision lies among those of this file."""
        return self.first_revision <= revision <= self.last_revision

    def knows(self, key: bytes, revision: int) -> bool:
        """Return whether the file holds this version."""
        return any(locator.revision == revision for locator in self._file.versions(key))

    def newest_revision(self, key: bytes) -> int:
        """Return the revision of the newest version of a key; 0 if it is not here."""
        locator = self._file.find(key, None)
        return locator.revision if locator else 0

    def missing(self, positions: Numbers, revisions: Numbers) -> Iterator[KnownVersion]:
        """Yield the versions that are not among records that were found.

        Args:
            positions: in the log, ascending, of the records ...
            revisions: ... and their revisions.
        """
        rows = self._columns.rows[:-1]
        places = np.searchsorted(positions, rows["position"])
        is_found = np.append(positions, 0)[places] == rows["position"]
        is_found &= np.append(revisions, 0)[places] == rows["revision"]
        for row in np.flatnonzero(~is_found).tolist():
            position = int(rows["position"][row])
            yield KnownVersion(
                int(rows["revision"][row]),
                segment_of(position),
                offset_of(position),
                int(rows["size"][row]),
                self._columns.key(row),
                int(rows["flags"][row]) & KIND_MASK,
            )


def readable_indexes(files: Files, folder: Path, numbers: Sequence[int]) -> list[KnownIndex]:
    """Return those index files that can be read as a whole, the one with the highest number first.

    If two files differ, the one with the higher number is right: it was written later.
    """
    found = []
    for number in sorted(numbers, reverse=True):
        path = folder / index_name(number)
        try:
            file = IndexFile(files, path, number, file_size(files, path))
            found.append(KnownIndex(file, file.columns()))
        except (Damaged, UnknownFormat, OSError):
            continue
    return found


def is_superseded(version: KnownVersion, by: Sequence[KnownIndex]) -> bool:
    """Return whether a later index file left this version out because nothing needed it."""
    revision = version.revision
    return any(later.covers(revision) and not later.knows(version.key, revision) for later in by)
