"""Rewrite data that a failed sync may have lost.

If the store acknowledges commits before it syncs them and that sync fails, the kernel treats the
pages that it still holds in memory as written. Another sync would falsely report success, and a
power cut would leave a hole in the log. So the writer seals the segment where it was last known to
be durable, and copies what was published behind that place, as long as it can be read, to a segment
of its own.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

from rundlet_server.storage.errors import Damaged
from rundlet_server.storage.files import Files
from rundlet_server.storage.log.format.frame import BadFrame, Frame
from rundlet_server.storage.log.format.manifest import SegmentState
from rundlet_server.storage.log.format.segment import HEADER_SIZE
from rundlet_server.storage.log.format.segment_writer import SegmentWriter
from rundlet_server.storage.log.read.view import View


def copy_unsynced_tail(
    files: Files, folder: Path, view: View, *, durable: int, number: int
) -> tuple[SegmentState, SegmentState]:
    """Copy what lies behind offset ``durable`` of the active segment to a new segment.

    The caller holds the store's lock. The copy is durable once the folder is synced. Readers that
    still use the original may go on. The copy has the origin of copies, so that a repair without a
    manifest reads both segments, however much of the copy a crash left.

    Args:
        files: the file system.
        folder: of the store.
        view: up to date.
        durable: where to begin.
        number: of the new segment, reserved in the manifest.

    Returns:
        What to seal in the active segment's place: the active one itself, and its continuation.

    Raises:
        Damaged: the tail can no longer be read.
    """
    segment = view.segment(view.active.segment)
    copy = SegmentWriter(files, folder, number, segment.header.store_id)
    kept = dataclasses.replace(view.manifest.active, size=HEADER_SIZE)
    for frame in segment.frames(HEADER_SIZE, view.active.offset):
        if frame.offset + frame.size <= durable:
            kept = _with_frame(kept, frame)
        else:
            _copy_frame(frame, copy, segment.path)
    return kept, copy.finish(is_indexed=False)


def _copy_frame(frame: Frame, copy: SegmentWriter, path: Path) -> None:
    """Append a frame of the segment at ``path`` to the copy."""
    try:
        copy.append(
            [[data] for _, data in frame.records()],
            record_count=frame.record_count,
            revision=frame.revision,
            time_us=frame.time_us,
            totals=frame.totals,
        )
    except BadFrame as ex:
        raise Damaged(path, frame.offset, str(ex)) from ex


def _with_frame(state: SegmentState, frame: Frame) -> SegmentState:
    """Return the state of a segment with one more frame at its end."""
    return dataclasses.replace(
        state,
        size=state.size + frame.size,
        record_count=state.record_count + frame.record_count,
        last_revision=frame.revision,
        last_time_us=frame.time_us,
        totals=frame.totals,
    )
