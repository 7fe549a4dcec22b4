"""Compaction: rewrite segments without the records that no read needs any more.

A pass has these steps; a process may die between any two of them without loss:

1. merge all index files, leaving out versions behind the horizon: the rows that are left
   say which records are live;
2. choose the segments whose share of dead bytes is worth the work, and runs of small ones;
3. copy their live records, as they are, into new segments; sync them and the folder;
4. write an index file with the new positions; sync it and the folder;
5. change the manifest: the outputs take the places of the inputs, so that the order of the log
   is still the order of revisions;
6. unlink the inputs, in the order of the log and each durably: see ``open.orphans`` for why;
7. if the inputs include all segments that held erased values, change the manifest once more, to
   remove these erasures from it.

Tombstones: an index can always be built anew from the log alone, so the log must never hold a
record of a key without the tombstone behind it. A pass drops a tombstone only if all segments
before its own hold live records only, and so no older record of its key.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence, Set
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Final

import numpy as np

from rundlet_server.storage.files import Files
from rundlet_server.storage.log.format.locator import OFFSET_BITS
from rundlet_server.storage.log.format.manifest import Manifest, SegmentState
from rundlet_server.storage.log.format.names import segment_name, times_name
from rundlet_server.storage.log.format.segment import HEADER_SIZE
from rundlet_server.storage.log.index import columns as index_columns
from rundlet_server.storage.log.index.columns import Columns, is_outcome, is_tombstone
from rundlet_server.storage.log.maintain.checkpoint import Checkpointer, replace_indexes
from rundlet_server.storage.log.maintain.erasure import (
    EndLeases,
    holds_any,
    segments_to_clean,
    still_erased,
)
from rundlet_server.storage.log.maintain.horizon import Horizon
from rundlet_server.storage.log.maintain.rewrite import Rewrite
from rundlet_server.storage.log.read.follower import Follower
from rundlet_server.storage.log.read.view import View
from rundlet_server.storage.log.write.writer import Writer

_SEGMENT_SHIFT: Final = np.uint64(OFFSET_BITS)
_SMALL_SHARE: Final = 4
"""A segment under a quarter of the full size is small; runs of small ones become one."""


@dataclass(frozen=True, slots=True)
class CompactionResult:
    """What a pass did: sizes in bytes of the segments rewritten, and counts of files.

    Attributes:
        is_cut_short: the disk had no space for the copies of more segments.
    """

    segments_before: int = 0
    segments_after: int = 0
    bytes_before: int = 0
    bytes_after: int = 0
    versions_dropped: int = 0
    is_cut_short: bool = False

    def __add__(self, later: CompactionResult) -> CompactionResult:
        """Return what two passes did together."""
        return CompactionResult(
            self.segments_before + later.segments_before,
            self.segments_after + later.segments_after,
            self.bytes_before + later.bytes_before,
            self.bytes_after + later.bytes_after,
            self.versions_dropped + later.versions_dropped,
            later.is_cut_short,
        )


@dataclass(frozen=True, slots=True)
class _Usage:
    """Live bytes and records of one segment."""

    state: SegmentState
    live_bytes: int
    live_count: int

    @property
    def dead_share(self) -> float:
        return 1 - self.live_bytes / max(1, self.state.size - HEADER_SIZE)

    @property
    def is_all_live(self) -> bool:
        return self.live_count == self.state.record_count


class Compactor:
    """Rewrites segments; the caller holds the maintenance lock."""

    def __init__(
        self,
        files: Files,
        folder: Path,
        *,
        follower: Follower,
        writer: Writer,
        checkpointer: Checkpointer,
        end_leases: EndLeases,
    ) -> None:
        self._files = files
        self._folder = folder
        self._follower = follower
        self._writer = writer
        self._checkpointer = checkpointer
        self._end_leases = end_leases

    def compact(
        self, horizon: Horizon, *, dead_share_min: float | None, segment_bytes_max: int
    ) -> CompactionResult:
        """Do one pass over the segments that have index files.

        Args:
            horizon: versions that no read needs any more are dropped.
            dead_share_min: rewrite segments with at least this share of dead bytes; with ``None``,
                only the segments that hold erased values, which every pass rewrites.
            segment_bytes_max: size of the segments written.

        Raises:
            Damaged: a segment is not what was written; everything is left as it was.
            OutdatedError: the store has to keep more by now; only orphaned files are left.
        """
        view = self._follower.refresh()
        if not view.indexes:
            return CompactionResult()
        merged = self._checkpointer.merged(view.indexes)
        is_needed = horizon.needed(merged)
        columns = index_columns.select(merged, is_needed)
        usages = _usages(view, columns)
        to_clean = segments_to_clean(view)
        if dead_share_min is None:
            wanted = [[usage.state] for usage in usages if usage.state.number in to_clean]
        else:
            wanted = _choose(usages, dead_share_min, segment_bytes_max, to_clean)
        chosen = _fitting(wanted, usages, self._copied_bytes_max(view))
        columns = _without_tombstones(columns, usages, chosen, horizon.revision)
        dropped = merged.row_count - columns.row_count
        is_index_whole = [columns.row_count] == [index.row_count for index in view.indexes]
        if not chosen and is_index_whole:
            self._forget_erased(view, is_clean=chosen == wanted)
            return CompactionResult(is_cut_short=chosen != wanted)

        rewrite = Rewrite(self._files, self._folder, view, columns)
        replaced = rewrite.run(chosen, self._reserve(chosen, segment_bytes_max), segment_bytes_max)
        self._files.sync_folder(self._folder)
        index = self._checkpointer.write(self._follower.refresh(), rewrite.moved_columns())

        def change(manifest: Manifest) -> Manifest:
            dropping = horizon if dropped else None
            changed = replace_indexes(manifest, view.indexes, index, dropping)
            return dataclasses.replace(changed, segments=_replaced(manifest, replaced))

        self._writer.change_manifest(change)
        self._follower.refresh()
        for old_index in view.indexes:
            self._files.unlink(old_index.path)
        before = [state for run in chosen for state in run]
        for state in before:
            self._files.unlink(self._folder / segment_name(state.number))
            self._files.unlink(self._folder / times_name(state.number))
            self._files.sync_folder(self._folder)
        self._forget_erased(view, is_clean=chosen == wanted)
        after = [state for outputs in replaced.values() for state in outputs]
        return CompactionResult(
            len(before),
            len(after),
            sum(state.size for state in before),
            sum(state.size for state in after),
            dropped,
            is_cut_short=chosen != wanted,
        )

    def _forget_erased(self, view: View, *, is_clean: bool) -> None:
        """Remove erasures from the manifest, once no file holds the erased values."""
        cleaned = view.manifest.erased
        if cleaned and is_clean:
            clean = self._follower.refresh().manifest.file_names
            self._end_leases(lambda file: holds_any(file, cleaned), clean)
            self._files.sync_folder(self._folder)
            self._writer.change_manifest(
                lambda manifest: manifest.changed(erased=still_erased(manifest.erased, cleaned))
            )

    def _copied_bytes_max(self, view: View) -> int:
        """Return how many bytes of live records can be copied beside a new index file."""
        return (self._writer.free_space.free_bytes - view.manifest.index_bytes) * 7 // 8

    def _reserve(self, runs: Sequence[Sequence[SegmentState]], segment_bytes_max: int) -> int:
        """Reserve as many segment numbers as the outputs can need; return the first."""
        size = sum(state.size for run in runs for state in run)
        count = size // segment_bytes_max + len(runs) + 1
        manifest = self._writer.change_manifest(
            lambda manifest: manifest.changed(next_segment=manifest.next_segment + count)
        )
        return manifest.next_segment - count


def _usages(view: View, columns: Columns) -> list[_Usage]:
    """Return the live part of each segment that has an index file, in log order."""
    positions = columns.rows["position"][:-1]
    numbers, places = np.unique(positions >> _SEGMENT_SHIFT, return_inverse=True)
    sizes = np.bincount(places, weights=columns.rows["size"][:-1], minlength=len(numbers))
    counts = np.bincount(places, minlength=len(numbers))
    live = {
        number: (int(size), count)
        for number, size, count in zip(
            numbers.tolist(), sizes.tolist(), counts.tolist(), strict=True
        )
    }
    return [
        _Usage(state, *live.get(state.number, (0, 0)))
        for state in view.manifest.segments
        if state.is_indexed
    ]


def _choose(
    usages: Sequence[_Usage], dead_share_min: float, segment_bytes_max: int, to_clean: Set[int]
) -> list[list[SegmentState]]:
    """Return runs of adjacent segments to rewrite."""

    def is_worth_it(usage: _Usage) -> bool:
        return usage.dead_share >= dead_share_min or usage.state.number in to_clean

    def is_small(usage: _Usage) -> bool:
        return usage.state.size * _SMALL_SHARE < segment_bytes_max

    runs = []
    for _, group in groupby(usages, lambda usage: is_worth_it(usage) or is_small(usage)):
        run = list(group)
        is_gaining = any(map(is_worth_it, run)) or len(run) >= _SMALL_SHARE
        if is_gaining and (is_worth_it(run[0]) or is_small(run[0])):
            runs.append([usage.state for usage in run])
    return runs


def _fitting(
    runs: list[list[SegmentState]], usages: Sequence[_Usage], bytes_max: int
) -> list[list[SegmentState]]:
    """Return all runs if their live bytes fit; else single segments, smallest live size first."""
    chosen = {state.number for run in runs for state in run}
    found = [usage for usage in usages if usage.state.number in chosen]
    if sum(usage.live_bytes for usage in found) <= bytes_max:
        return runs
    found = [usage for usage in found if not usage.is_all_live]
    fitting = set()
    for usage in sorted(found, key=lambda usage: usage.live_bytes):
        bytes_max -= usage.live_bytes
        if bytes_max >= 0:
            fitting.add(usage.state.number)
    return [[usage.state] for usage in found if usage.state.number in fitting]


def _without_tombstones(
    columns: Columns,
    usages: Sequence[_Usage],
    runs: Sequence[Sequence[SegmentState]],
    horizon: int,
) -> Columns:
    """Drop tombstones behind the horizon whose keys have no older record left.

    An outcome does not count as a tombstone here: it is needed for its own sake.
    """
    chosen = {state.number for run in runs for state in run}
    clean = []
    for usage in usages:
        clean.append(usage.state.number)
        if not usage.is_all_live and usage.state.number not in chosen:
            break
    rows = columns.rows[:-1]
    is_first = (rows["flags"] & index_columns.OLDER) == 0
    is_last = np.append(is_first[1:], True)
    is_behind = rows["revision"] <= np.uint64(horizon)
    is_clean = np.isin(rows["position"] >> _SEGMENT_SHIFT, np.array(clean, np.uint64))
    # A key with older versions still needed keeps its tombstone in front of them.
    is_end = is_tombstone(columns) & ~is_outcome(columns)
    is_droppable = is_end & is_first & is_last & is_behind & is_clean
    return index_columns.select(columns, ~is_droppable)


def _replaced(
    manifest: Manifest, replaced: dict[tuple[int, ...], list[SegmentState]]
) -> tuple[SegmentState, ...]:
    """Return the manifest's segments with each run's outputs at the run's place."""
    outputs_at = {numbers[0]: outputs for numbers, outputs in replaced.items()}
    inputs = {number for numbers in replaced for number in numbers}
    segments: list[SegmentState] = []
    for state in manifest.segments:
        segments += outputs_at.get(state.number, [])
        if state.number not in inputs:
            segments.append(state)
    return tuple(segments)
