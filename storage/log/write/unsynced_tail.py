"""Writing again what a failed sync may have lost.

Where commits are answered before they are synced, and that sync fails, the kernel takes what it
still holds in memory for written: another sync would report a success that is none, and a power
cut would leave a hole in the log. So the segment is sealed where it was last known to be durable,
and what was published behind that goes, as long as it can be read, into a segment of its own.
"""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

from rundlet_server.storage.errors import Damaged
from rundlet_server.storage.files import Files
from rundlet_server.storage.log.format import frame as frames
from rundlet_server.storage.log.format.frame import BadFrame, Frame
from rundlet_server.storage.log.format.manifest import SegmentState
from rundlet_server.storage.log.format.segment import COMPACTED, HEADER_SIZE, Segment, SegmentHeader
from rundlet_server.storage.log.read.view import View


def write_again(
    files: Files, folder: Path, view: View, *, durable: int, number: int
) -> tuple[SegmentState, SegmentState]:
    """Copy what lies behind offset ``durable`` of the active segment to a new segment.

    The caller holds the store's lock. The copy is durable once the folder is synced; readers that
    still look at the original may go on. It is no origin of commits, so that a repair without
    manifest reads both, however far a crash let the copy come.

    Args:
        files: the file system.
        folder: of the store.
        view: up to date.
        durable: where to begin.
        number: of the new segment, given out by the manifest.

    Returns:
        What to seal in the active segment's place: the active one itself, and its continuation.

    Raises:
        Damaged: it cannot be read any more.
    """
    segment = view.segment(view.active.segment)
    salt = int.from_bytes(os.urandom(4), "little")
    header = SegmentHeader(COMPACTED, number, segment.header.store_id, salt)
    copy = Segment.create(files, folder, header)
    kept = dataclasses.replace(view.manifest.active, size=HEADER_SIZE)
    moved = dataclasses.replace(kept, number=number)
    for frame in segment.frames(HEADER_SIZE, view.active.offset):
        if frame.offset + frame.size <= durable:
            kept = _with_frame(kept, frame, frame.size)
        else:
            moved = _with_frame(moved, frame, _append(copy, moved.size, frame, segment.path))
    copy.file.sync()
    assert moved.record_count, "nothing was left to be written again"
    return kept, moved


def _append(copy: Segment, offset: int, frame: Frame, path: Path) -> int:
    """Write a frame at its new place; returns its size."""
    try:
        buffers, size = frames.encode(
            [[data] for _, data in frame.records()],
            record_count=frame.record_count,
            revision=frame.revision,
            time_us=frame.time_us,
            totals=frame.totals,
            synced=0,
            salt=copy.header.salt,
            offset=offset,
        )
    except BadFrame as ex:
        raise Damaged(path, frame.offset, str(ex)) from ex
    copy.append(buffers, offset)
    return size


def _with_frame(state: SegmentState, frame: Frame, size: int) -> SegmentState:
    """The state of a segment with one more frame at its end."""
    return dataclasses.replace(
        state,
        size=state.size + size,
        record_count=state.record_count + frame.record_count,
        last_revision=frame.revision,
        last_time_us=frame.time_us,
        totals=frame.totals,
    )
