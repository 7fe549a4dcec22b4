"""Verify a store: read every byte of it and change nothing.

``verify`` checks the manifest; every frame, and every record by its own checksum; every block of
the index files, the order of their rows and their hash tables; that they agree with the log; that
the totals of keys and bytes are right; that the folder holds no segment with commits that the
manifest does not know. It reports all damage, not only the first.

It works beside a running server. It opens all files at the start, with the manifest that names
them, so a compaction that replaces them meanwhile does no harm: an unlinked file can be read as
long as it is open.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from rundlet_server.storage.errors import Damaged, UnknownFormat
from rundlet_server.storage.files import Files
from rundlet_server.storage.log.check import index_against_log as index_check
from rundlet_server.storage.log.check import salvage
from rundlet_server.storage.log.check.opened import OpenedStore, Problem, reporting
from rundlet_server.storage.log.check.rebuild import IndexBuilder, count_totals
from rundlet_server.storage.log.check.salvage import Gap
from rundlet_server.storage.log.format import record as records
from rundlet_server.storage.log.format.commit_times import CommitTimes, commits_of
from rundlet_server.storage.log.format.frame import BadFrame, Frame, Totals
from rundlet_server.storage.log.format.locator import Locator, pack_position
from rundlet_server.storage.log.format.manifest import FILE_NAME, SegmentState
from rundlet_server.storage.log.format.names import times_name
from rundlet_server.storage.log.format.record import BadRecord, Record
from rundlet_server.storage.log.format.segment import APPENDED, HEADER_SIZE, Segment
from rundlet_server.storage.log.format.times_file import read_times
from rundlet_server.storage.log.index.columns import Columns
from rundlet_server.storage.log.index.delta import Delta
from rundlet_server.storage.log.open.recovery import may_hold_commits
from rundlet_server.storage.settings import StoreSettings

_REMOVE_IT: Final = "remove the file: all of it follows from the segment"

Progress = Callable[[int, int], None]
"""Called with the bytes read so far and all bytes to read."""


@dataclass(slots=True)
class VerifyReport:
    """What was found, and how much was read.

    Attributes:
        problems: empty if all is well.
        revision: of the store.
        key_count, value_bytes: counted from the log; keys that have expired are among them
            until their expiry is logged.
        bytes_read: of segments and index files.
    """

    problems: list[Problem] = field(default_factory=list)
    revision: int = 0
    segment_count: int = 0
    index_count: int = 0
    frame_count: int = 0
    record_count: int = 0
    key_count: int = 0
    value_bytes: int = 0
    bytes_read: int = 0


def verify(
    path: Path, settings: StoreSettings | None = None, *, progress: Progress | None = None
) -> VerifyReport:
    """Read a whole store and report all that is wrong with it; change nothing.

    It needs as much memory as an index of all versions in the log: some 70 bytes a version.

    Raises:
        FileNotFoundError: there is no store in this folder.
        UnknownFormat: another release wrote the store.
        Unavailable: compactions replace files faster than they can be opened.
    """
    settings = settings or StoreSettings()
    try:
        opened = OpenedStore.open(path, settings)
    except Damaged as ex:
        return VerifyReport([Problem(ex.path, ex.offset, ex.reason)])
    except FileNotFoundError:
        names = settings.files.names(path)
        if not any(may_hold_commits(settings.files, path / name) for name in names):
            raise
        reason = "the manifest is missing although there are segments"
        return VerifyReport([Problem(path / FILE_NAME, 0, reason)])
    return _Verifier(opened, settings.files, progress or _ignore).run()


def _ignore(done: int, total: int) -> None:
    """Do nothing: the caller follows no progress."""


class _Verifier:
    """One verification, in log order."""

    def __init__(self, opened: OpenedStore, files: Files, progress: Progress) -> None:
        self._files = files
        self._opened = opened
        self._progress = progress
        self._report = VerifyReport(list(opened.problems))
        self._bytes_total = opened.log_bytes + opened.manifest.index_bytes
        self._builder = IndexBuilder()
        self._last_frame: Frame | None = None
        self._revision = 0

    def run(self) -> VerifyReport:
        """Check the log, the index files against it, and the totals."""
        states = self._opened.manifest.segments
        for state in states:
            if state.is_indexed:
                self._check_segment(state)
        self._check_indexes(self._builder.columns())
        for state in states:
            if not state.is_indexed:
                self._check_segment(state)
        self._check_totals(count_totals(self._builder.columns()))
        # After a repair, the head may be above all that is left in the log.
        self._report.revision = max(self._revision, self._opened.manifest.active.last_revision)
        return self._report

    def _check_segment(self, state: SegmentState) -> None:
        segment = self._opened.segments.get(state.number)
        if segment is None:
            return
        end = self._opened.ends[state.number]
        delta = Delta(state.number, HEADER_SIZE)
        self._last_frame = None
        with reporting(segment.path, self._report.problems):
            for piece in salvage.pieces(segment, HEADER_SIZE, end):
                if isinstance(piece, Gap):
                    reason = f"{piece.size} bytes are damaged: {piece.reason}"
                    self._add(segment.path, piece.offset, reason)
                else:
                    self._check_frame(segment, piece, delta)
                self._tell(piece.size)
        self._report.segment_count += 1
        self._report.record_count += delta.record_count
        self._builder.add(delta)
        self._check_state(state, segment, delta)
        if state.is_indexed:
            self._check_times(segment, delta.times)

    def _check_frame(self, segment: Segment, frame: Frame, delta: Delta) -> None:
        self._report.frame_count += 1
        self._last_frame = frame
        is_appended = segment.header.origin == APPENDED
        with contextlib.suppress(BadFrame):  # it is reported below
            delta.times.add(commits_of(frame, is_appended=is_appended))
        before = self._revision
        try:
            for offset, data in frame.records():
                self._check_record(segment, frame, delta, offset, data)
        except (BadFrame, BadRecord) as ex:
            self._add(segment.path, frame.offset, str(ex))
        if segment.header.origin == APPENDED and frame.revision <= before:
            self._add(segment.path, frame.offset, "the revision is not above that before it")

    def _check_record(
        self, segment: Segment, frame: Frame, delta: Delta, offset: int, data: memoryview
    ) -> None:
        record = records.decode(bytes(data))
        is_appended = segment.header.origin == APPENDED
        lowest = frame.revision if is_appended else self._revision
        if record.kind not in records.KINDS or not lowest <= record.revision <= frame.revision:
            self._add(segment.path, offset, "the record has an impossible kind or revision")
            return
        self._revision = record.revision
        delta.add([(record.key, _locator(record, len(data), segment.number, offset))])

    def _check_state(self, state: SegmentState, segment: Segment, delta: Delta) -> None:
        """Check that a sealed segment matches its entry in the manifest."""
        frame = self._last_frame
        if state == self._opened.manifest.active or frame is None:
            return
        told = (state.size, state.record_count, state.last_revision, state.last_time_us)
        found = (frame.offset + frame.size, delta.record_count, frame.revision, frame.time_us)
        if told != found:
            reason = f"size, records, revision and time are {told} by the manifest, but are {found}"
            self._add(segment.path, 0, reason)

    def _check_times(self, segment: Segment, times: CommitTimes) -> None:
        """Check that the times file of a segment, if it has one, matches the segment."""
        path = self._opened.folder / times_name(segment.number)
        try:
            found = read_times(self._files, self._opened.folder, segment.header)
        except FileNotFoundError:
            return  # it is made anew, or a compaction has replaced it meanwhile
        except (Damaged, UnknownFormat) as ex:
            self._add(path, 0, f"{ex}; {_REMOVE_IT}")
            return
        if found != times:
            self._add(path, 0, f"the commits are not those of the segment; {_REMOVE_IT}")

    def _check_indexes(self, log: Columns) -> None:
        """Check each index file by itself, then all together against the log."""
        whole: list[Columns] = []
        manifest = self._opened.manifest
        for state in manifest.indexes:
            index = self._opened.indexes.get(state.number)
            if index is None:
                continue
            damage = list(index.damage())
            self._report.problems += [Problem(ex.path, ex.offset, ex.reason) for ex in damage]
            if not damage:
                for reason in index_check.row_problems(index):
                    self._add(index.path, 0, reason)
                whole.append(index.columns())
            self._report.index_count += 1
            self._tell(state.size)
        if len(whole) == len(manifest.indexes):
            for reason in index_check.differences(whole, log):
                self._add(self._opened.folder, 0, f"the index and the log differ: {reason}")

    def _check_totals(self, counted: Totals) -> None:
        self._report.key_count, self._report.value_bytes = counted
        active = self._opened.manifest.active
        told = self._last_frame.totals if self._last_frame else active.totals
        if told != counted and active.number in self._opened.segments:
            reason = f"the log holds {_words(counted)}, but says that it holds {_words(told)}"
            self._add(self._opened.folder, 0, reason)

    def _add(self, path: Path, offset: int, reason: str) -> None:
        self._report.problems.append(Problem(path, offset, reason))

    def _tell(self, size: int) -> None:
        self._report.bytes_read += size
        self._progress(self._report.bytes_read, self._bytes_total)


def _locator(record: Record, size: int, segment: int, offset: int) -> Locator:
    return Locator(
        record.revision,
        pack_position(segment, offset),
        size,
        len(record.value),
        record.version,
        record.kind,
        record.content_type,
        record.expires_us,
    )


def _words(totals: Totals) -> str:
    return f"{totals.key_count} keys with {totals.value_bytes} bytes of values"
