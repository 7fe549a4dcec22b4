"""Verify the segments that a restore has copied, truncate what is not wanted, and index the rest.

Every frame and every record is verified by its checksum. The records of a frame, and the frames of
a log, are in the order of revisions and times, so commits that are not wanted come last.
"""

from __future__ import annotations

from bisect import bisect_right
from pathlib import Path
from typing import Final

import numpy as np

from rundlet_server.storage.files import Files
from rundlet_server.storage.log.backup.choosing import Wanted
from rundlet_server.storage.log.check.rebuild import IndexBuilder
from rundlet_server.storage.log.format import frame as frames
from rundlet_server.storage.log.format import record as records
from rundlet_server.storage.log.format.frame import Frame, Totals
from rundlet_server.storage.log.format.manifest import SegmentState
from rundlet_server.storage.log.format.segment import HEADER_SIZE, Segment
from rundlet_server.storage.log.format.stretches import Stretch, StretchRecords, stretches
from rundlet_server.storage.log.index.columns import Columns
from rundlet_server.storage.log.index.gathering import RowGatherer

_ROWS_AT_ONCE: Final = 1 << 19
_KEY_BYTES_AT_ONCE: Final = 64 * 1024 * 1024
"""So many rows or bytes of keys are sorted together, in memory as Python objects."""


class SegmentScan:
    """The scan of all segments of a backup, in log order.

    Attributes:
        is_cut: whether a commit that is not wanted was found; no later segment is wanted then.
        last_revision, last_time_us: of the last commit that is wanted; 0 without one.
        split: the frame of which only the first records are wanted.
    """

    def __init__(self, files: Files, folder: Path, wanted: Wanted) -> None:
        self._files = files
        self._folder = folder
        self._wanted = wanted
        self._gatherer = RowGatherer()
        self._builder = IndexBuilder()
        self.is_cut = False
        self.last_revision = 0
        self.last_time_us = 0
        self.split: SplitFrame | None = None

    def scan(self, number: int, size: int) -> SegmentState | None:
        """Verify a segment, truncate it behind the wanted commits, sync it, and index it.

        Returns:
            Its entry for the manifest; ``None`` if nothing in it is wanted.

        Raises:
            Damaged: it is not what was written.
        """
        segment = Segment.open(self._files, self._folder, number)
        last: Frame | None = None
        record_count = 0
        try:
            for stretch in stretches(segment, HEADER_SIZE, size):
                found = stretch.records()
                wanted = self._count_wanted(found)
                if wanted < len(found.keys):
                    last = self._cut(segment, stretch, found, wanted) or last
                    found = found.first(wanted)
                else:
                    last = stretch.frame(-1)
                self._gatherer.add(number, stretch, found)
                record_count += wanted
                if self.is_cut:
                    break
            segment.file.sync()
        finally:
            if self.split is None:
                segment.file.close()
        if last is None:
            return None
        self._index_many()
        self.last_revision, self.last_time_us = last.revision, last.time_us
        counts = (last.offset + last.size, record_count, last.revision, last.time_us)
        return SegmentState(number, *counts, last.totals, is_indexed=True)

    def columns(self) -> Columns:
        """Return the index of all that is wanted."""
        self._builder.add_columns(self._gatherer.columns())
        self._gatherer = RowGatherer()
        return self._builder.columns()

    def _count_wanted(self, found: StretchRecords) -> int:
        """Return how many records, from the first on, are wanted."""
        is_wanted = found.headers["revision"] <= self._wanted.revision
        if self._wanted.time_us is not None:
            is_wanted &= found.headers["time_us"] <= self._wanted.time_us
        return int(np.count_nonzero(is_wanted))

    def _cut(
        self, segment: Segment, stretch: Stretch, found: StretchRecords, wanted: int
    ) -> Frame | None:
        """Truncate a segment behind so many records of a stretch; return the frame that ends it."""
        self.is_cut = True
        whole = bisect_right(found.ends, wanted)
        left = wanted - (found.ends[whole - 1] if whole else 0)
        segment.file.truncate(stretch.offset + stretch.places[whole])
        if left:
            self.split = SplitFrame(segment, stretch.frame(whole), left)
            self.split.write_unsynced(Totals())
            return self.split.frame
        return stretch.frame(whole - 1) if whole else None

    def _index_many(self) -> None:
        gatherer = self._gatherer
        if gatherer.row_count > _ROWS_AT_ONCE or gatherer.key_bytes > _KEY_BYTES_AT_ONCE:
            self._builder.add_columns(gatherer.columns())
            self._gatherer = RowGatherer()


class SplitFrame:
    """The wanted first records of a frame, as a frame in its place.

    Attributes:
        frame: as it is read back.
    """

    def __init__(self, segment: Segment, frame: Frame, record_count: int) -> None:
        self._segment = segment
        self._offset = frame.offset
        self._records = [bytes(data) for _, data in frame.records()][:record_count]
        *_, self._revision, self._time_us = records.HEADER.unpack_from(self._records[-1])
        encoded = b"".join(self._encoded(Totals()))
        self.frame = frames.decode(memoryview(encoded), frame.offset, segment.header.salt)

    def write_unsynced(self, totals: Totals) -> None:
        """Write the frame."""
        self._segment.file.pwrite(self._encoded(totals), self._offset)

    def write(self, totals: Totals) -> None:
        """Write the frame with the totals of the store after it, and sync the segment."""
        self.write_unsynced(totals)
        self._segment.file.sync()
        self._segment.file.close()

    def _encoded(self, totals: Totals) -> list[bytes | bytearray | memoryview]:
        buffers, _ = frames.encode(
            [self._records],
            record_count=len(self._records),
            revision=self._revision,
            time_us=self._time_us,
            totals=totals,
            synced=0,
            salt=self._segment.header.salt,
            offset=self._offset,
        )
        return buffers
