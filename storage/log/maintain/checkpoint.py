"""Checkpoints: index files for sealed segments, and merges of index files.

One change of the manifest installs a new index file, after everything that the manifest names is
on stable storage; files that it no longer names are unlinked last. A crash at any place leaves
orphaned files, which a maintenance process removes when it starts.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from pathlib import Path

from rundlet_server.storage.files import Files
from rundlet_server.storage.log.format.commit_times import CommitTimes
from rundlet_server.storage.log.format.manifest import IndexState, Manifest
from rundlet_server.storage.log.format.names import index_name, times_name
from rundlet_server.storage.log.format.segment import read_commits
from rundlet_server.storage.log.format.times_file import write_times
from rundlet_server.storage.log.index import columns as index_columns
from rundlet_server.storage.log.index.columns import KEY_BYTES_MAX, MERGE_FACTOR, Columns
from rundlet_server.storage.log.index.delta import Delta
from rundlet_server.storage.log.index.file import IndexFile
from rundlet_server.storage.log.index.retention import without_erased
from rundlet_server.storage.log.index.writer import write_index
from rundlet_server.storage.log.maintain.horizon import Horizon, OutdatedError
from rundlet_server.storage.log.read.follower import Follower
from rundlet_server.storage.log.read.view import View
from rundlet_server.storage.log.write.writer import Writer


class Checkpointer:
    """Builds and merges index files; the caller holds the maintenance lock."""

    def __init__(self, files: Files, folder: Path, *, follower: Follower, writer: Writer) -> None:
        self._files = files
        self._folder = folder
        self._follower = follower
        self._writer = writer

    def checkpoint(self) -> int:
        """Write an index file for every sealed segment that has none; return for how many."""
        view = self._follower.refresh()
        deltas = view.deltas[:0:-1]
        for delta in deltas:
            state = self._index_delta(view, delta)
            self._writer.change_manifest(functools.partial(_indexed, index=state, delta=delta))
            view = self._follower.refresh()
        return len(deltas)

    def add_times(self) -> int:
        """Write the times file of one segment that has none; return the number of such segments.

        A store of an earlier release has none, nor has a segment whose damaged file was removed.
        Only segments that can be read at an old revision need one.
        """
        view = self._follower.refresh()
        names = set(self._files.names(self._folder))
        missing = [
            state
            for state in view.manifest.segments
            if state.is_indexed
            and state.last_revision > view.manifest.oldest_revision
            and times_name(state.number) not in names
        ]
        for state in missing[:1]:
            segment = view.segment(state.number)
            write_times(
                self._files, self._folder, segment.header, read_commits(segment, state.size)
            )
            self._files.sync_folder(self._folder)
        return len(missing)

    def index_delta(self, view: View, delta: Delta) -> View:
        """Write the index file of a view's oldest delta, inside ``Writer.exclusive``."""
        state = self._index_delta(view, delta)
        return self._writer.install_manifest(_indexed(view.manifest, state, delta))

    def index(self, view: View, columns: Columns, times: CommitTimes, segment: int) -> IndexState:
        """Write the index file and the times file of one segment, durably."""
        write_times(self._files, self._folder, view.segment(segment).header, times)
        return self.write(view, columns)

    def _index_delta(self, view: View, delta: Delta) -> IndexState:
        return self.index(view, index_columns.from_delta(delta), delta.times, delta.segment)

    def merge(self, horizon: Horizon, *, all_files: bool = False) -> int:
        """Merge the newest index files if they have grown; return how many became one.

        Args:
            horizon: versions that no read needs any more are left out.
            all_files: merge them all.

        Raises:
            OutdatedError: the store has to keep more by now; nothing was changed.
        """
        view = self._follower.refresh()
        count = len(view.indexes) if all_files else _merge_count(view.indexes)
        if count < 2:
            return 0
        merged = self.merged(view.indexes[:count])
        is_needed = horizon.needed(merged)
        selected = index_columns.select(merged, is_needed)
        state = self.write(view, selected)
        dropping = horizon if selected is not merged else None
        self.replace(view.indexes[:count], state, dropping)
        return count

    def merged(self, indexes: Sequence[IndexFile]) -> Columns:
        """Return one index made of several, newest first, without erased versions."""
        merged = index_columns.merge_all([index.columns() for index in indexes])
        return without_erased(merged)

    def write(self, view: View, columns: Columns) -> IndexState:
        """Write a new index file, durably; no manifest names it yet."""
        number = view.manifest.next_index
        path = self._folder / index_name(number)
        size = write_index(self._files, path, view.manifest.store_id, columns)
        self._files.sync_folder(self._folder)
        return IndexState(number, size, columns.row_count)

    def replace(
        self, inputs: Sequence[IndexFile], output: IndexState, dropping: Horizon | None
    ) -> None:
        """Install a merged index file in the place of its inputs, then unlink the inputs."""
        try:
            self._writer.change_manifest(
                lambda manifest: replace_indexes(manifest, inputs, output, dropping)
            )
        except OutdatedError:
            self._files.unlink(self._folder / index_name(output.number))
            raise
        self._follower.refresh()
        for index in inputs:
            self._files.unlink(index.path)


def replace_indexes(
    manifest: Manifest,
    inputs: Sequence[IndexFile],
    output: IndexState,
    dropping: Horizon | None,
) -> Manifest:
    """Return the next manifest, with one new index file in the place of the newest ones.

    Args:
        manifest: the installed one.
        inputs: the newest index files.
        output: the new one.
        dropping: the horizon of the versions that the new file leaves out; ``None`` if it has all.

    Raises:
        OutdatedError: the store has to keep some of these versions by now.
    """
    oldest = manifest.oldest
    if dropping is not None:
        dropping.require_kept(manifest)
        oldest = max(oldest, dropping.oldest)
    numbers = {index.number for index in inputs}
    kept = [state for state in manifest.indexes if state.number not in numbers]
    return manifest.changed(
        indexes=(output, *kept),
        next_index=output.number + 1,
        oldest=oldest,
    )


def _indexed(manifest: Manifest, index: IndexState, delta: Delta) -> Manifest:
    return manifest.changed(
        indexes=(index, *manifest.indexes),
        next_index=index.number + 1,
        segments=tuple(
            dataclasses.replace(state, is_indexed=True) if state.number == delta.segment else state
            for state in manifest.segments
        ),
        erased={**manifest.erased, **delta.erased},
    )


def _merge_count(indexes: Sequence[IndexFile]) -> int:
    """Return how many of the newest index files are to become one."""
    count, rows, key_bytes = 1, 0, 0
    for place, index in enumerate(indexes):
        key_bytes += index.key_bytes
        if key_bytes > KEY_BYTES_MAX:
            break
        if index.row_count <= MERGE_FACTOR * rows:
            count = place + 1
        rows += index.row_count
    return count
