"""Write the segments of a repaired store: records in the order of their revisions."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Final

from rundlet_server.storage.files import Buffer, Files
from rundlet_server.storage.log.format import record as records
from rundlet_server.storage.log.format.frame import Totals
from rundlet_server.storage.log.format.manifest import SegmentState
from rundlet_server.storage.log.format.record import Record
from rundlet_server.storage.log.format.segment_writer import SegmentWriter

_FRAME_BYTES: Final = 256 * 1024


def write_segments(
    files: Files,
    folder: Path,
    *,
    first_number: int,
    store_id: bytes,
    found: Iterable[Record],
    segment_bytes_max: int,
) -> list[SegmentState]:
    """Write records to new segments and sync them; durable once the folder is synced too.

    The records of one revision stay in one frame. The totals in the frames are zero, because
    only those of the active segment are ever read.
    """
    states: list[SegmentState] = []
    output: _Output | None = None
    for record in found:
        if output is not None and output.is_full(record, segment_bytes_max):
            states.append(output.finish())
            output = None
        if output is None:
            number = first_number + len(states)
            output = _Output(SegmentWriter(files, folder, number, store_id))
        output.add(record)
    if output is not None:
        states.append(output.finish())
    return states


class _Output:
    """A segment that is being written, and the records of its next frame."""

    def __init__(self, writer: SegmentWriter) -> None:
        self._writer = writer
        self._waiting: list[list[Buffer]] = []
        self._waiting_bytes = 0
        self._revision = 0
        self._time_us = 0

    def is_full(self, record: Record, segment_bytes_max: int) -> bool:
        """Return whether this record belongs in the next segment."""
        size = self._writer.size + self._waiting_bytes
        return size >= segment_bytes_max and record.revision != self._revision

    def add(self, record: Record) -> None:
        """Add a record; its revision is at or above that of the record before."""
        if self._waiting_bytes >= _FRAME_BYTES and record.revision != self._revision:
            self._flush()
        buffers = records.encode(record)
        self._waiting.append(buffers)
        self._waiting_bytes += sum(map(len, buffers))
        self._revision = record.revision
        self._time_us = max(self._time_us, record.time_us)

    def finish(self) -> SegmentState:
        """Write the waiting records, then sync and close the segment."""
        self._flush()
        return self._writer.finish(is_indexed=True)

    def _flush(self) -> None:
        self._writer.append(
            self._waiting,
            record_count=len(self._waiting),
            revision=self._revision,
            time_us=self._time_us,
            totals=Totals(),
        )
        self._waiting, self._waiting_bytes = [], 0
