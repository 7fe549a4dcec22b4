"""The writer: everything that is done to the log and the manifest under the folder's lock.

A batch is written in these steps; a process may die between any two of them:

1. take the lock (``LOCK``, flock: it falls with the process);
2. catch up with the log, and cut what a dead writer left behind the published position:
   nobody was answered for it;
3. fill the batch (``batch``): decide each transaction against the head, encode its frame;
4. write all frames with one ``pwrite``: until step 6 they are leftovers;
5. with ``sync=always``: ``fdatasync``;
6. publish: one store to the commit page. From here on every process sees the batch;
7. let go of the lock.

When step 4 fails, its bytes are cut, durably. When step 5 fails, nobody knows what is on disk,
and a second ``fdatasync`` could report success for pages that are lost: the file is given up.
It is sealed at its last durable position and the log goes on in a new one; what was published
behind that, under another policy than ``always``, is written again first (``second_writing``).
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, NoReturn

from rundlet_server.storage.errors import Damaged, DiskFull, OutcomeUnknown, Unavailable
from rundlet_server.storage.files import Buffer
from rundlet_server.storage.log.format.commit_page import CommitPage
from rundlet_server.storage.log.format.locator import offset_of, pack_position, segment_of
from rundlet_server.storage.log.format.manifest import (
    IndexState,
    Manifest,
    SegmentState,
    read_manifest,
)
from rundlet_server.storage.log.format.segment import APPENDED, HEADER_SIZE, Segment, SegmentHeader
from rundlet_server.storage.log.open.folder_lock import FolderLock
from rundlet_server.storage.log.open.recovery import ensure_end, put_in_force, settle_manifest
from rundlet_server.storage.log.read.follower import Follower
from rundlet_server.storage.log.read.view import Head, View
from rundlet_server.storage.log.settings import StoreSettings
from rundlet_server.storage.log.write.batch import Batch
from rundlet_server.storage.log.write.free_space import Room
from rundlet_server.storage.log.write.unsynced_tail import write_again

_NO_SPACE: Final = (errno.ENOSPC, errno.EDQUOT)


class Writer:
    """Appends batches and changes the manifest, for one process.

    Attributes:
        problem: why the last write was refused; ``None`` after one that was not.
        room: on the disk of the folder.
    """

    def __init__(
        self,
        folder: Path,
        settings: StoreSettings,
        *,
        commit_page: CommitPage,
        follower: Follower,
        lock: FolderLock,
    ) -> None:
        self._folder = folder
        self._settings = settings
        self._files = settings.files
        self._commit_page = commit_page
        self._follower = follower
        self._lock = lock
        self.problem: str | None = None
        self.room = Room(folder, settings)

    @contextlib.contextmanager
    def exclusive(self) -> Iterator[View]:
        """Hold the lock, with an up-to-date view whose active segment has room.

        Raises:
            Unavailable, DiskFull: nothing can be written now; nothing was.
            Damaged: the log cannot be followed.
        """
        try:
            self._lock.acquire()
        except OSError as ex:
            raise self._refusal(ex) from ex
        try:
            yield self._prepare()
        except OSError as ex:
            raise self._refusal(ex) from ex
        finally:
            self._lock.release()  # where this fails, what was written stands: no refusal

    def begin(self, view: View) -> Batch:
        """An empty batch for the end of the log; inside ``exclusive``."""
        durable = self._commit_page.durable or 0
        active = view.active.segment
        return Batch(
            view,
            salt=view.segment(active).header.salt,
            now_us=self.time_us(view),
            synced=offset_of(durable) if segment_of(durable) == active else 0,
            keep_versions=self._settings.keep_versions,
            limits=self._settings.limits,
            room=self.room,
        )

    def time_us(self, view: View) -> int:
        """The time of commits that are made now; it is acted on, so none goes back behind it."""
        return self._commit_page.advance_clock(max(self._settings.clock(), view.head.time_us))

    def write(self, view: View, batch: Batch) -> None:
        """Append a batch and publish it; inside ``exclusive``.

        Raises:
            Unavailable, DiskFull: certainly not applied.
            OutcomeUnknown: the disk failed so that the batch may come back after a restart.
        """
        if not batch.size:
            return
        segment = self._active(view)
        start = view.active.offset
        is_synced = self._settings.sync == "always"
        try:
            segment.append(batch.buffers, start)
        except OSError as ex:
            self._take_back(segment, start, ex)
        if is_synced:
            self._sync_or_give_up(view, segment)
        position = pack_position(segment.number, start + batch.size)
        self._commit_page.published = position
        # Behind it: who dies in between leaves a word that is too low, never one that vouches
        # for bytes that the next writer cuts, as nobody was answered for them.
        if is_synced:
            self._commit_page.durable = position
        self.problem = None
        self._settings.measures.appended(batch.size)
        self._follower.advance(
            batch.entries,
            start=pack_position(segment.number, start),
            position=position,
            head=batch.head,
        )

    def write_sealed(
        self,
        view: View,
        buffers: list[Buffer],
        *,
        record_count: int,
        head: Head,
        make_index: Callable[[], IndexState],
    ) -> None:
        """Fill the active segment, which is empty, and seal it with its index file.

        Inside ``exclusive``.

        Args:
            view: up to date, with no delta that holds anything.
            buffers: all frames.
            record_count: records in them.
            head: the state after them.
            make_index: writes the index file of the segment, durably.

        Raises:
            Unavailable, DiskFull: certainly not applied.
            OutcomeUnknown: the disk failed while the manifest was put in force.
        """
        segment = self._active(view)
        size = HEADER_SIZE + sum(map(len, buffers))
        self.room.require(view, size)
        try:
            segment.append(buffers, HEADER_SIZE)
        except OSError as ex:
            self._take_back(segment, HEADER_SIZE, ex)
        self._sync_or_give_up(view, segment)
        try:
            index = make_index()
        except OSError as ex:
            self._take_back(segment, HEADER_SIZE, ex)
        self._commit_page.advance_clock(head.time_us)
        sealed = SegmentState(segment.number, size, record_count, *head, is_indexed=True)
        try:
            self._seal_as(view, (sealed,), index)
        except OSError as ex:
            self._refusal(ex)
            raise OutcomeUnknown(f"the disk failed while loading: {ex}") from ex
        self.problem = None
        self._settings.measures.appended(size - HEADER_SIZE)

    def seal(self) -> None:
        """Seal the active segment, if it holds anything, and go on in a new one."""
        with self.exclusive() as view:
            if view.active.record_count:
                self.roll(view)

    def sync(self) -> None:
        """Put on stable storage what is published: the work of ``sync=interval``.

        Raises:
            Unavailable: the disk failed; the segment is given up.
        """
        position = self._follower.current().position
        if (self._commit_page.durable or 0) >= position:
            return
        segment = self._active(self._follower.view)
        if self._commit_page.given_up == segment.number:
            with self.exclusive():
                return  # the log goes on in another segment now, and all before it is durable
        try:
            self._sync(segment)
        except OSError as ex:
            self._commit_page.given_up = segment.number
            raise self._refusal(ex) from ex
        self._commit_page.durable = position

    def change_manifest(self, change: Callable[[Manifest], Manifest]) -> Manifest:
        """Put a changed manifest in force while nobody appends.

        Args:
            change: gets the manifest in force and returns the next one.
        """
        with self._lock:
            manifest = change(read_manifest(self._files, self._folder))
            self._put_in_force(manifest)
            return manifest

    def put_in_force(self, manifest: Manifest) -> View:
        """Put a manifest in force, inside ``exclusive``."""
        self._put_in_force(manifest)
        return self._follower.refresh()

    def settle(self) -> None:
        """Finish a change of the manifest that somebody died or failed at.

        Raises:
            Unavailable: the disk failed once more.
        """
        if self._commit_page.is_changing:
            try:
                with self._lock:
                    settle_manifest(self._files, self._folder, self._commit_page)
            except OSError as ex:
                raise self._refusal(ex) from ex

    def _prepare(self) -> View:
        """Catch up, clean the end of the log, and make room."""
        if self._commit_page.is_changing:
            settle_manifest(self._files, self._folder, self._commit_page)
        view = self._follower.refresh()
        if not self._is_at_end(view):
            ensure_end(self._files, self._folder, view.manifest, self._commit_page)
            view = self._follower.refresh()
        active = view.active
        segment = view.segment(active.segment)
        size = segment.file.size()
        if size < active.offset:
            raise Damaged(segment.path, size, f"published up to {active.offset}, cut short")
        if size > active.offset:
            segment.file.truncate(active.offset)
        if self._settings.sync != "always" and not view.manifest.is_lax:
            self._put_in_force(dataclasses.replace(view.manifest.changed(), is_lax=True))
            view = self._follower.refresh()
        is_full = (
            active.offset >= self.room.segment_bytes_max
            or active.record_count >= self._settings.segment_records_max
        )
        if is_full or self._commit_page.given_up == active.segment:
            view = self.roll(view)
        return view

    def _is_at_end(self, view: View) -> bool:
        """Whether the commit page is whole and says that the log ends where this view does."""
        return (
            self._commit_page.published == view.position
            and self._commit_page.generation == view.manifest.generation
        )

    def roll(self, view: View) -> View:
        """Seal the active segment and go on in a new one, inside ``exclusive``.

        1. sync the old segment, whatever the policy: what is sealed is durable;
        2. create the new one and make its name durable: a crash leaves an unnamed file;
        3. put the manifest in force that seals the old one and names the new one;
        4. publish the new segment's start.
        """
        old = self._active(view)
        durable = self._commit_page.durable or 0
        active = view.active
        sealed = SegmentState(
            old.number, active.offset, active.record_count, *view.head, is_indexed=False
        )
        if durable >= view.position:
            return self._seal_as(view, (sealed,))
        if self._commit_page.given_up != old.number:
            self._sync_before_seal(old)
            return self._seal_as(view, (sealed,))
        # First of all give the number out: no manifest may be older than a segment with commits.
        number = view.manifest.next_segment
        view = self.put_in_force(view.manifest.changed(next_segment=number + 1))
        place = offset_of(durable) if segment_of(durable) == old.number else 0
        again = write_again(self._files, self._folder, view, durable=place, number=number)
        return self._seal_as(view, again)

    def _seal_as(
        self, view: View, sealed: tuple[SegmentState, ...], index: IndexState | None = None
    ) -> View:
        """Steps 2 to 4 of a roll, for durable segments, with an index file or without."""
        manifest = view.manifest
        number = manifest.next_segment
        salt = int.from_bytes(os.urandom(4), "little")
        header = SegmentHeader(APPENDED, number, manifest.store_id, salt)
        Segment.create(self._files, self._folder, header)
        self._files.sync_folder(self._folder)
        opened = dataclasses.replace(
            sealed[-1], number=number, size=0, record_count=0, is_indexed=False
        )
        changed = manifest.changed(
            next_segment=number + 1,
            segments=(*manifest.segments[:-1], *sealed, opened),
            next_index=index.number + 1 if index else None,
            indexes=(index, *manifest.indexes) if index else None,
        )
        self._put_in_force(changed)
        self._commit_page.published = self._commit_page.durable = pack_position(number, HEADER_SIZE)
        return self._follower.refresh()

    def _put_in_force(self, manifest: Manifest) -> None:
        put_in_force(self._files, self._folder, manifest, self._commit_page)

    def _active(self, view: View) -> Segment:
        return view.segment(view.active.segment)

    def _take_back(self, segment: Segment, start: int, cause: OSError) -> NoReturn:
        """Cut what a failed write may have left, and refuse.

        Durably: whole frames may be among it, which a restart after a power cut would keep.
        """
        try:
            segment.file.truncate(start)
            segment.file.sync()
        except OSError as ex:
            self._commit_page.given_up = segment.number
            self._refusal(ex)
            raise OutcomeUnknown(f"the disk failed while writing: {cause}") from cause
        raise self._refusal(cause) from cause

    def _sync_or_give_up(self, view: View, segment: Segment) -> None:
        try:
            self._sync(segment)
        except OSError as cause:
            self._commit_page.given_up = segment.number
            refusal = self._refusal(cause)
            try:
                segment.file.truncate(view.active.offset)
                self.roll(view)
            except OSError:
                raise OutcomeUnknown(f"the disk failed while syncing: {cause}") from cause
            raise refusal from cause

    def _sync_before_seal(self, segment: Segment) -> None:
        try:
            self._sync(segment)
        except OSError:
            # The next roll seals it without: a second sync could report a success that is none.
            self._commit_page.given_up = segment.number
            raise

    def _sync(self, segment: Segment) -> None:
        started_ns = time.perf_counter_ns()
        segment.file.sync()
        self._settings.measures.synced(started_ns)

    def _refusal(self, cause: OSError) -> Unavailable:
        """The error for a write that was certainly not applied."""
        self.problem = f"writes are refused: {cause.strerror or cause}"
        self._settings.measures.refused(self._settings.clock())
        if cause.errno in _NO_SPACE:
            return DiskFull("no space is left on the device; the write was not applied")
        return Unavailable(f"the disk failed ({cause.strerror}); the write was not applied")
