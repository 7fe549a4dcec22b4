"""Copy the live records of segments to new segments, many at a time.

The index says where the live records of a segment are and how long they are, so this searches for
nothing: numpy finds which bytes stay, adjacent records are copied as one piece, and what costs time
in Python is done once for each half megabyte, not once for each record.

Nothing is copied unverified: every frame that is read is verified by its checksum, and every record
in it by its header, which must have the size and the revision that the index has. Records keep
their own checksums; only the frames around them are new.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from rundlet_server.storage.errors import Damaged
from rundlet_server.storage.files import Files
from rundlet_server.storage.log.format import frame as frames
from rundlet_server.storage.log.format import record as records
from rundlet_server.storage.log.format.commit_times import CommitTimes
from rundlet_server.storage.log.format.frame import Frame
from rundlet_server.storage.log.format.locator import OFFSET_MAX, pack_position
from rundlet_server.storage.log.format.manifest import SegmentState
from rundlet_server.storage.log.format.record_headers import headers_at, record_sizes
from rundlet_server.storage.log.format.segment import HEADER_SIZE
from rundlet_server.storage.log.format.segment_writer import SegmentWriter
from rundlet_server.storage.log.format.times_file import write_times
from rundlet_server.storage.log.index.columns import Columns, Places, Words
from rundlet_server.storage.log.read.view import View

_STRETCH_BYTES: Final = 512 * 1024
"""Frames are taken together up to about this size; their live records become one frame."""


class Rewrite:
    """Copies live records of runs of segments, and notes their new positions."""

    def __init__(self, files: Files, folder: Path, view: View, columns: Columns) -> None:
        self._files = files
        self._folder = folder
        self._view = view
        self._columns = columns
        self._positions: Words = columns.rows["position"][:-1].copy()

    def run(
        self, runs: Sequence[Sequence[SegmentState]], first_number: int, segment_bytes_max: int
    ) -> dict[tuple[int, ...], list[SegmentState]]:
        """Rewrite each run; return which segments replace the segments of each run.

        Raises:
            Damaged: a segment is not what was written, or not what the index says.
        """
        replaced = {}
        store_id = self._view.manifest.store_id
        number = first_number
        for states in runs:
            outputs = []
            output: SegmentWriter | None = None
            times = CommitTimes()
            for stretch in self._stretches(states):
                if output is None:
                    output = SegmentWriter(self._files, self._folder, number, store_id)
                    times = CommitTimes()
                self._positions[stretch.live.rows] = _copy(stretch, output, times)
                if output.size >= segment_bytes_max:
                    outputs.append(self._finish(output, times))
                    output = None
                    number += 1
            if output is not None:
                outputs.append(self._finish(output, times))
                number += 1
            replaced[tuple(state.number for state in states)] = outputs
        return replaced

    def _finish(self, output: SegmentWriter, times: CommitTimes) -> SegmentState:
        write_times(self._files, self._folder, output.header, times)
        return output.finish(is_indexed=True)

    def moved_columns(self) -> Columns:
        """Return the index with the new positions of the records."""
        rows = self._columns.rows.copy()
        rows["position"][:-1] = self._positions
        return dataclasses.replace(self._columns, rows=rows)

    def _stretches(self, states: Iterable[SegmentState]) -> Iterator[_Stretch]:
        """Yield all live records. Those of one frame are one commit and stay together."""
        for state in states:
            segment = self._view.segment(state.number)
            live = self._live(state.number)
            done = 0
            for found in _gathered(segment.frames(HEADER_SIZE, state.size)):
                end = found[-1].offset + found[-1].size
                count = int(np.searchsorted(live.offsets, end))
                if count > done:
                    yield _Stretch(segment.path, found, live.part(done, count))
                done = count
            if done < len(live.rows):
                reason = "there is no record here, although the index has one"
                raise Damaged(segment.path, int(live.offsets[done]), reason)

    def _live(self, number: int) -> _Live:
        """Return the live records of a segment by the index, in the order of the segment."""
        positions = self._columns.rows["position"][:-1]
        first = np.uint64(pack_position(number, 0))
        rows = np.flatnonzero((positions >= first) & (positions - first <= np.uint64(OFFSET_MAX)))
        rows = rows[np.argsort(positions[rows])]
        return _Live(
            rows,
            (positions[rows] - first).astype(np.int64),
            self._columns.rows["size"][rows].astype(np.int64),
            self._columns.rows["revision"][rows],
        )


class _Live(NamedTuple):
    """Live records: rows in the index, offsets in the segment, sizes, revisions."""

    rows: Places
    offsets: Places
    sizes: Places
    revisions: Words

    def part(self, start: int, end: int) -> _Live:
        taken = slice(start, end)
        return _Live(
            self.rows[taken], self.offsets[taken], self.sizes[taken], self.revisions[taken]
        )


class _Stretch:
    """Adjacent frames of a segment, and their live records: at least one."""

    def __init__(self, path: Path, found: Sequence[Frame], live: _Live) -> None:
        self.live = live
        self._path = path
        self._frames = found
        starts = np.array([frame.offset for frame in found], np.int64)
        self._frame_of = np.searchsorted(starts, live.offsets, side="right") - 1
        self._starts = live.offsets - (starts + frames.HEADER.size)[self._frame_of]

    @property
    def last_frame(self) -> Frame:
        """The frame of the last live record."""
        return self._frames[int(self._frame_of[-1])]

    def copied(self) -> tuple[bytes, Places, Words]:
        """Return the live records, one behind the other, where each begins, and its time.

        Raises:
            Damaged: they are not the records that the index says.
        """
        ends = self._starts + self.live.sizes
        body_sizes = np.array([len(frame.body) for frame in self._frames], np.int64)
        is_inside = (self._starts >= 0) & (ends <= body_sizes[self._frame_of])
        self._refuse(~(is_inside & (self.live.sizes >= records.OVERHEAD)))
        # A record begins a new piece unless it is right behind the one before. Between the
        # records of two frames there is always a header.
        is_first = np.ones(len(ends), np.bool_)
        is_first[1:] = self.live.offsets[1:] != self.live.offsets[:-1] + self.live.sizes[:-1]
        firsts = np.flatnonzero(is_first)
        lasts = np.append(firsts[1:], len(ends)) - 1
        places = zip(
            self._frame_of[firsts].tolist(),
            self._starts[firsts].tolist(),
            ends[lasts].tolist(),
            strict=True,
        )
        data = b"".join([self._frames[number].body[start:end] for number, start, end in places])
        offsets = np.cumsum(self.live.sizes) - self.live.sizes
        return data, offsets, self._checked_times(data, offsets)

    def _checked_times(self, data: bytes, offsets: Places) -> Words:
        """Return the times in the headers of the records, after a look at their other fields."""
        headers = headers_at(data, offsets)
        is_same = record_sizes(headers) == self.live.sizes
        self._refuse(~(is_same & (headers["revision"] == self.live.revisions)))
        times_us: Words = headers["time_us"]
        return times_us

    def _refuse(self, is_wrong: npt.NDArray[np.bool_]) -> None:
        if is_wrong.any():
            offset = int(self.live.offsets[np.argmax(is_wrong)])
            raise Damaged(self._path, offset, "this is not the record that the index has here")


def _copy(stretch: _Stretch, output: SegmentWriter, times: CommitTimes) -> Words:
    """Write the live records of a stretch as one frame; return the new position of each.

    Their commits are added to ``times``.
    """
    data, offsets, times_us = stretch.copied()
    last = stretch.last_frame
    first = output.append(
        [[data]],
        record_count=len(offsets),
        revision=last.revision,
        time_us=last.time_us,
        totals=last.totals,
    )
    revisions = stretch.live.revisions
    is_new = np.append(True, revisions[1:] != revisions[:-1])
    times.extend(
        revisions[is_new].tobytes(), times_us[is_new].tobytes(), first - frames.HEADER.size
    )
    return offsets.astype(np.uint64) + np.uint64(pack_position(output.number, first))


def _gathered(found: Iterable[Frame]) -> Iterator[list[Frame]]:
    """Yield lists of adjacent frames, each of about ``_STRETCH_BYTES`` or more."""
    gathered: list[Frame] = []
    size = 0
    for frame in found:
        gathered.append(frame)
        size += frame.size
        if size >= _STRETCH_BYTES:
            yield gathered
            gathered, size = [], 0
    if gathered:
        yield gathered
