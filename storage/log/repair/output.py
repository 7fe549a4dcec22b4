"""Segments that a repair writes: records in the order of their revisions."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from rundlet_server.storage.files import Buffer, Files
from rundlet_server.storage.log.format import frame as frames
from rundlet_server.storage.log.format import record as records
from rundlet_server.storage.log.format.frame import Totals
from rundlet_server.storage.log.format.manifest import SegmentState
from rundlet_server.storage.log.format.record import Record
from rundlet_server.storage.log.format.segment import COMPACTED, HEADER_SIZE, Segment, SegmentHeader

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
    """Write records to new segments, synced; durable once the folder is synced too.

    The records of one revision stay in one frame. The totals in the frames are zero: only
    those of the active segment are ever looked at.
    """
    states: list[SegmentState] = []
    output: _Output | None = None
    for record in found:
        if output is not None and output.is_full(record, segment_bytes_max):
            states.append(output.finish())
            output = None
        if output is None:
            number = first_number + len(states)
            salt = int.from_bytes(os.urandom(4), "little")
            header = SegmentHeader(COMPACTED, number, store_id, salt)
            output = _Output(Segment.create(files, folder, header))
        output.add(record)
    if output is not None:
        states.append(output.finish())
    return states


class _Output:
    """One segment being written."""

    def __init__(self, segment: Segment) -> None:
        self._segment = segment
        self._offset = HEADER_SIZE
        self._waiting: list[list[Buffer]] = []
        self._waiting_bytes = 0
        self._count = 0
        self._revision = 0
        self._time_us = 0

    def is_full(self, record: Record, segment_bytes_max: int) -> bool:
        """Whether this record belongs to another segment."""
        size = self._offset + self._waiting_bytes
        return size >= segment_bytes_max and record.revision != self._revision

    def add(self, record: Record) -> None:
        """Add a record."""
        if self._waiting_bytes >= _FRAME_BYTES and record.revision != self._revision:
            self._flush()
        buffers = records.encode(record)
        self._waiting.append(buffers)
        self._waiting_bytes += sum(map(len, buffers))
        self._revision = record.revision
        self._time_us = max(self._time_us, record.time_us)

    def finish(self) -> SegmentState:
        """Write what waits, sync, close."""
        self._flush()
        self._segment.file.sync()
        self._segment.file.close()
        return SegmentState(
            self._segment.number,
            self._offset,
            self._count,
            self._revision,
            self._time_us,
            Totals(),
            is_indexed=True,
        )

    def _flush(self) -> None:
        buffers, size = frames.encode(
            self._waiting,
            record_count=len(self._waiting),
            revision=self._revision,
            time_us=self._time_us,
            totals=Totals(),
            synced=0,
            salt=self._segment.header.salt,
            offset=self._offset,
        )
        self._segment.append(buffers, self._offset)
        self._offset += size
        self._count += len(self._waiting)
        self._waiting, self._waiting_bytes = [], 0
