"""Find what index files still know of versions that the log has lost."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from rundlet_server.storage.errors import Damaged
from rundlet_server.storage.files import Files, file_size
from rundlet_server.storage.log.format.locator import OFFSET_BITS, offset_of, segment_of
from rundlet_server.storage.log.format.names import index_name
from rundlet_server.storage.log.format.record import DELETE, EXPIRE, Record
from rundlet_server.storage.log.index.columns import KIND_MASK
from rundlet_server.storage.log.index.file import IndexFile


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
        return self.kind in (DELETE, EXPIRE)

    def as_tombstone(self) -> Record:
        """Return the record of a delete: the index knows everything in it but its time."""
        return Record(self.key, b"", self.kind, self.revision, 0, 0)


def known_versions(
    files: Files, folder: Path, indexes: Sequence[int], segments: set[int]
) -> Iterator[KnownVersion]:
    """Yield the versions that the readable index files know of in some segments."""
    for number in indexes:
        try:
            path = folder / index_name(number)
            index = IndexFile(files, path, number, file_size(files, path))
            columns = index.columns()
        except (Damaged, OSError):
            continue
        rows = columns.rows[:-1]
        is_wanted = np.isin(rows["position"] >> np.uint64(OFFSET_BITS), sorted(segments))
        for row in np.flatnonzero(is_wanted).tolist():
            position = int(rows["position"][row])
            yield KnownVersion(
                int(rows["revision"][row]),
                segment_of(position),
                offset_of(position),
                int(rows["size"][row]),
                columns.key(row),
                int(rows["flags"][row]) & KIND_MASK,
            )
