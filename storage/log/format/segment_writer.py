"""Write segments of copied records: for compaction, a repair, or a writer after a failed sync.

Commits are appended to the active segment by ``write.writer`` instead.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from rundlet_server.storage.files import Buffer, Files
from rundlet_server.storage.log.format import frame as frames
from rundlet_server.storage.log.format.frame import Totals
from rundlet_server.storage.log.format.manifest import SegmentState
from rundlet_server.storage.log.format.segment import COMPACTED, HEADER_SIZE, Segment, SegmentHeader


class SegmentWriter:
    """A new segment of copied records. No manifest names it yet.

    Attributes:
        number: of the segment.
        size: of the file, in bytes.
        record_count: of the records in it.
        header: of the segment.
    """

    def __init__(self, files: Files, folder: Path, number: int, store_id: bytes) -> None:
        header = SegmentHeader.with_new_salt(COMPACTED, number, store_id)
        self._segment = Segment.create(files, folder, header)
        self._last_revision = 0
        self._last_time_us = 0
        self._totals = Totals()
        self.number = number
        self.size = HEADER_SIZE
        self.record_count = 0
        self.header = header

    def append(
        self,
        encoded_records: Iterable[Iterable[Buffer]],
        *,
        record_count: int,
        revision: int,
        time_us: int,
        totals: Totals,
    ) -> int:
        """Write records as one frame and return the offset of the first of them.

        The frame calls no earlier bytes durable: its ``synced`` is 0.
        """
        buffers, size = frames.encode(
            encoded_records,
            record_count=record_count,
            revision=revision,
            time_us=time_us,
            totals=totals,
            synced=0,
            salt=self._segment.header.salt,
            offset=self.size,
        )
        self._segment.append(buffers, self.size)
        first = self.size + frames.HEADER.size
        self.size += size
        self.record_count += record_count
        self._last_revision, self._last_time_us, self._totals = revision, time_us, totals
        return first

    def finish(self, *, is_indexed: bool) -> SegmentState:
        """Sync and close the segment; it is durable once the folder is synced too.

        Args:
            is_indexed: an index file will hold its records when a manifest names the segment.

        Returns:
            The entry of the segment for the manifest.
        """
        assert self.record_count, "a segment of copies holds at least one record"
        self._segment.file.sync()
        self._segment.file.close()
        return SegmentState(
            self.number,
            self.size,
            self.record_count,
            self._last_revision,
            self._last_time_us,
            self._totals,
            is_indexed,
        )
