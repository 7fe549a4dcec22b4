"""The follower: keeps this process's view in step with the log.

Writers of any process publish by one store to a word of the commit page. A reader compares that
word with the position of its view; when they differ, the thread that noticed reads what is new
from the log. No reader ever waits for a writer: what is published is complete and as durable as
the policy says, and publishing is the writer's last step.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from rundlet_server.storage.errors import Damaged
from rundlet_server.storage.files import Files
from rundlet_server.storage.forks import ProcessGuard, listen_for_forks
from rundlet_server.storage.log.format.commit_page import PAGE_SIZE, WORD_PUBLISHED, CommitPage
from rundlet_server.storage.log.format.locator import Locator, offset_of, pack_position, segment_of
from rundlet_server.storage.log.format.manifest import (
    FILE_IS_MISSING,
    FILE_NAME,
    SEGMENT_IS_UNKNOWN,
    Manifest,
    SegmentState,
    read_manifest,
)
from rundlet_server.storage.log.format.names import index_name
from rundlet_server.storage.log.format.segment import APPENDED, HEADER_SIZE
from rundlet_server.storage.log.format.stretches import stretches
from rundlet_server.storage.log.index.delta import Delta
from rundlet_server.storage.log.index.file import IndexFile
from rundlet_server.storage.log.place import StorePlace
from rundlet_server.storage.log.read.disposal import Disposal
from rundlet_server.storage.log.read.entry_cache import EntryCache
from rundlet_server.storage.log.read.sealed_times import SealedTimes
from rundlet_server.storage.log.read.view import Head, View
from rundlet_server.storage.memory.collector import paused_collector

_Answer = TypeVar("_Answer")

_ATTEMPTS = 100
"""How often the follower looks again for files that a newer manifest has replaced meanwhile."""

_PAUSE_S = 0.001

_MANY_BYTES = 64 * 1024
"""The garbage collector pauses while so much of the log is read: it would look at the new records
again and again."""


class Follower:
    """Owns the view of one process.

    Attributes:
        view: the newest view; may be behind the log until ``current`` is called.
        disposal: frees the contents of views that are no longer read.
    """

    def __init__(
        self,
        files: Files,
        folder: Path,
        commit_page: CommitPage,
        guard: ProcessGuard,
        place: StorePlace,
        *,
        cache_bytes_max: int,
        open_segments_max: int,
    ) -> None:
        self._files = files
        self._cache_bytes_max = cache_bytes_max
        self._open_segments_max = open_segments_max
        self._folder = folder
        self._commit_page = commit_page
        self._place = place
        self._words = commit_page.words
        self._guard = guard
        self._lock = threading.Lock()
        self._sealed_times = SealedTimes(files, folder, open_segments_max)
        self.disposal = Disposal()
        self.view = self._make_view(None)
        self.current()
        listen_for_forks(self)

    def after_fork(self) -> None:
        """Make ``current`` refuse in a forked child, at no cost in other processes.

        In the child, ``current`` compares with a page on which nothing is published, and so calls
        ``catch_up``, which refuses. The files are closed, because a file that compaction removes
        would occupy the disk as long as the child runs.
        """
        self._words = memoryview(bytes(PAGE_SIZE)).cast("Q")
        for segment in list(self.view.segments.values()):
            segment.file.close()

    def current(self) -> View:
        """Return the view, with everything in it that was published before this call."""
        view = self.view
        if self._words[WORD_PUBLISHED] != view.position:
            return self.catch_up()
        return view

    def catch_up(self) -> View:
        """Add the frames published since; one thread does this, and the others wait for it.

        Raises:
            Damaged: a published part of the log is not what was written.
            OpenedBeforeFork: this process is a child of the one that opened the folder.
        """
        self._guard.require_own()
        with self._lock:
            published = self._words[WORD_PUBLISHED]
            while published > self.view.position:
                if segment_of(published) != self.view.active.segment:
                    self.view = self._make_view(self.view)
                try:
                    self._replay(self.view, published)
                except FileNotFoundError as ex:
                    published = self._words[WORD_PUBLISHED]
                    if segment_of(published) == self.view.active.segment:
                        raise Damaged(str(ex.filename), 0, FILE_IS_MISSING) from ex
                    # The segment was sealed meanwhile, and a compaction has moved its records.
            return self.view

    def read(self, read: Callable[[View], _Answer]) -> _Answer:
        """Read from the view; again from a newer one if compaction has moved what that needs.

        Raises:
            Damaged: a file that the manifest names is missing.
        """
        view = self.current()
        while True:
            try:
                return read(view)
            except FileNotFoundError as ex:
                generation = view.manifest.generation
                view = self.reload()
                if view.manifest.generation == generation:
                    raise Damaged(str(ex.filename), 0, FILE_IS_MISSING) from ex

    def refresh(self) -> View:
        """Load the manifest if a checkpoint or a compaction has changed it; cheap if none has."""
        self._guard.require_own()
        if self._commit_page.generation != self.view.manifest.generation:
            with self._lock:
                if self._commit_page.generation != self.view.manifest.generation:
                    self.view = self._make_view(self.view)
        return self.current()

    def reload(self) -> View:
        """Load the manifest on disk, whatever the commit page says."""
        self._guard.require_own()
        with self._lock:
            self.view = self._make_view(self.view)
        return self.current()

    def advance(
        self,
        entries: Sequence[tuple[bytes, Locator]],
        commits: Sequence[tuple[int, int, int]],
        *,
        start: int,
        position: int,
        head: Head,
    ) -> None:
        """Add commits that this process has just published, without reading them back.

        Args:
            entries: keys and locators in log order.
            commits: their commits, see ``CommitTimes.add``.
            start: the position before them.
            position: the position after them.
            head: the state after them.
        """
        with self._lock:
            view = self.view
            if view.position != start:
                return  # another thread has noticed that they are published, and has read them
            active = view.active
            active.add(entries, commits)
            active.offset = offset_of(position)
            view.head = head
            view.position = position

    def _make_view(self, old: View | None) -> View:
        """Make a view of the manifest on disk; reuse the old view's parts that stay.

        If a file that the manifest names is missing, it was replaced meanwhile, and the next
        attempt reads a newer manifest.

        Raises:
            Unavailable: the path leads to another store now, see ``StorePlace``.
        """
        if old is not None:
            self._place.look()  # else the view would mix two stores
        for _ in range(_ATTEMPTS):
            manifest = self._published_manifest()
            try:
                return self._assemble(manifest, old)
            except FileNotFoundError as ex:
                missing = ex
        raise Damaged(str(missing.filename), 0, FILE_IS_MISSING)

    def _published_manifest(self) -> Manifest:
        """Return the manifest on disk, once its data is published to other processes, too.

        Between the renaming of the manifest and the publication there is one sync of the folder. If
        the writer has died there, the wait ends after ``_ATTEMPTS`` pauses.
        """
        for _ in range(_ATTEMPTS):
            manifest = read_manifest(self._files, self._folder)
            published = self._commit_page.published
            if published is None or segment_of(published) >= manifest.active.number:
                break
            time.sleep(_PAUSE_S)
        return manifest

    def _assemble(self, manifest: Manifest, old: View | None) -> View:
        old_indexes = {index.number: index for index in old.indexes} if old else {}
        old_deltas = {delta.segment: delta for delta in old.deltas} if old else {}
        numbers = {state.number for state in manifest.segments}
        segments = dict(old.segments) if old else {}
        self._sealed_times.keep(numbers)
        waiting = [state for state in manifest.segments if not state.is_indexed]
        indexes = tuple(
            old_indexes.get(state.number) or self._open_index(state.number, state.size)
            for state in manifest.indexes
        )
        deltas = [self._delta_of(state, old_deltas.get(state.number)) for state in waiting]
        is_same_active = old is not None and deltas[-1] is old.active
        view = View(
            self._files,
            self._folder,
            manifest,
            segments={number: segments[number] for number in numbers & segments.keys()},
            open_segments_max=self._open_segments_max,
            deltas=tuple(reversed(deltas)),
            indexes=indexes,
            # While the newest delta stays, it knows of every newer value. The cache must never be
            # emptied and used for another delta: a reader of the old view may still put a value
            # into it that the other delta has replaced.
            cache=old.cache if old and is_same_active else self._new_cache(),
            sealed_times=self._sealed_times,
        )
        for delta, state in zip(deltas[:-1], waiting[:-1], strict=True):
            self._add_frames(view, delta, state.size)
        if old and is_same_active:
            view.head = old.head
        return view

    def _delta_of(self, state: SegmentState, old: Delta | None) -> Delta:
        """Return the present delta, or an empty one if a segment was sealed before its end.

        The latter happens after a failed sync: the records behind that end are in the next segment
        now.
        """
        is_active = not state.size
        if old is not None and (is_active or old.offset <= state.size):
            return old
        delta = Delta(state.number, HEADER_SIZE)
        self.disposal.add_after(delta, delta.rows)
        return delta

    def _new_cache(self) -> EntryCache:
        return EntryCache(self._cache_bytes_max, self.disposal)

    def _open_index(self, number: int, size: int) -> IndexFile:
        return IndexFile(self._files, self._folder / index_name(number), number, size)

    def _replay(self, view: View, published: int) -> None:
        """Add the active segment's frames up to ``published``."""
        if segment_of(published) == view.active.segment:
            self._add_frames(view, view.active, offset_of(published))
        elif segment_of(published) > view.active.segment:
            raise Damaged(self._folder / FILE_NAME, 0, SEGMENT_IS_UNKNOWN)
        view.position = max(published, pack_position(view.active.segment, view.active.offset))

    def _add_frames(self, view: View, delta: Delta, end: int) -> None:
        """Add a segment's frames up to ``end`` to its delta; the head follows the active one."""
        if end - delta.offset >= _MANY_BYTES:
            with paused_collector():
                self._add_stretches(view, delta, end)
        elif end > delta.offset:
            self._add_stretches(view, delta, end)

    def _add_stretches(self, view: View, delta: Delta, end: int) -> None:
        segment = view.segment(delta.segment)
        is_active = delta is view.active
        is_appended = segment.header.origin == APPENDED
        for stretch in stretches(segment, delta.offset, end):
            # All of a stretch is decoded before any of it is added: if that fails, the next attempt
            # adds nothing twice.
            entries = stretch.locators(segment.number)
            stretch.add_commits(delta.times, is_appended=is_appended)  # first, see ``Delta.add``
            delta.add(entries)
            delta.offset = stretch.offset + stretch.size
            if is_active:
                view.head = Head(*stretch.last_commit)
