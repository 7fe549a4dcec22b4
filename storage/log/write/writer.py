"""The writer: every change of the log and the manifest, made under the lock of the folder.

The writer appends a batch in these steps; a process may die between any two of them:

1. take the lock (``LOCK``, flock: the kernel releases it when the process dies);
2. catch up with the log, and truncate what a crashed writer left past the published offset: none
   of it was acknowledged;
3. fill the batch (``batch``): decide each transaction against the head, and encode its frame;
4. write all frames with one ``pwrite``: until step 6 a crash leaves bytes that step 2 truncates;
5. with ``sync=always``: ``fdatasync``;
6. publish: one store to the commit page. From here on every process sees the batch. Wake the
   processes that wait for it (``waiting``);
7. release the lock.

If step 4 fails, the writer truncates its bytes, durably. If step 5 fails, the state of the disk is
unknown, and a second ``fdatasync`` could report success for pages that are lost: the writer
abandons the segment. It seals the segment at its last durable position and continues the log in a
new one (``rolling``). If commits behind that position were published under another policy than
``always``, it rewrites them first (``unsynced_tail``).
"""

from __future__ import annotations

import dataclasses
import errno
from collections.abc import Callable, Set
from pathlib import Path
from typing import NoReturn, Self

from rundlet_server.storage.errors import OutcomeUnknown, Unavailable
from rundlet_server.storage.files import Buffer
from rundlet_server.storage.interface import Txn
from rundlet_server.storage.log.format.commit_page import CommitPage
from rundlet_server.storage.log.format.manifest import (
    IndexState,
    Manifest,
    SegmentState,
    read_manifest,
)
from rundlet_server.storage.log.format.segment import HEADER_SIZE, Segment
from rundlet_server.storage.log.open.folder_lock import FolderLock
from rundlet_server.storage.log.open.recovery import (
    install_manifest,
    settle_manifest,
)
from rundlet_server.storage.log.read.follower import Follower
from rundlet_server.storage.log.read.view import Head, View
from rundlet_server.storage.log.waiting.waker import Waker
from rundlet_server.storage.log.write.batch import ANY_FRAME_BYTES_MAX, Batch
from rundlet_server.storage.log.write.disk_errors import not_applied, outcome_unknown
from rundlet_server.storage.log.write.free_space import FreeSpace
from rundlet_server.storage.log.write.log_end import LogEnd
from rundlet_server.storage.log.write.plain_puts import Frames, PlainFrame, plain_frame
from rundlet_server.storage.log.write.rolling import Roller
from rundlet_server.storage.log.write.syncing import Syncer
from rundlet_server.storage.outcomes.results import Commit
from rundlet_server.storage.settings import StoreSettings
from rundlet_server.storage.timeline import Retention


class Writer:
    """Appends batches and changes the manifest, for one process.

    Attributes:
        failure: why the last write was refused, or a compaction failed; ``None`` after a write.
        free_space: of the disk with the folder.
    """

    def __init__(
        self,
        folder: Path,
        settings: StoreSettings,
        *,
        commit_page: CommitPage,
        follower: Follower,
        lock: FolderLock,
        waker: Waker,
    ) -> None:
        self._folder = folder
        self._settings = settings
        self._files = settings.files
        self._commit_page = commit_page
        self._follower = follower
        self._lock = lock
        self._waker = waker
        self._place = lock.place
        self._syncer = Syncer(commit_page, settings.measures)
        self._roller = Roller(
            folder, settings, commit_page=commit_page, follower=follower, syncer=self._syncer
        )
        self._end = LogEnd(settings.files, folder, commit_page, follower)
        self._outgrown = 0
        self.failure: str | None = None
        self.free_space = FreeSpace(folder, settings)

    def exclusive(self) -> Self:
        """Hold the lock in a ``with`` block, with an up-to-date view; its segment is not full.

        Raises:
            Unavailable, DiskFull: nothing can be written now; nothing was.
            Damaged: the log cannot be followed.
        """
        return self

    def __enter__(self) -> View:
        try:
            self._lock.acquire()
        except OSError as ex:
            raise self._refusal(ex) from ex
        try:
            return self._prepare()
        except BaseException as ex:
            self.__exit__(type(ex), ex, ex.__traceback__)
            raise

    def __exit__(self, _: object, ex: BaseException | None, __: object) -> None:
        try:
            if isinstance(ex, OSError):
                raise self._refusal(ex) from ex
        finally:
            self._lock.release()  # if this fails, what was written stays: that is no refusal

    def begin(self, view: View) -> Batch:
        """Return an empty batch for the end of the log; inside ``exclusive``."""
        segment = self._active(view)
        return Batch(
            view,
            salt=segment.header.salt,
            now_us=self.time_us(view),
            synced=self._commit_page.durable_in(segment.number),
            limits=self._settings.limits,
            free_space=self.free_space,
        )

    def plain_frame(self, view: View, txn: Txn) -> tuple[PlainFrame, Commit] | None:
        """Decide one transaction of plain puts without a batch; inside ``exclusive``.

        Returns:
            Its frame, for ``write``, and its commit; ``None`` if ``begin`` has to make a batch.
        """
        limit = self._settings.limits.txn_bytes_max
        if limit > ANY_FRAME_BYTES_MAX or not self.free_space.is_plenty:
            return None
        segment = self._active(view)
        return plain_frame(
            view,
            txn,
            salt=segment.header.salt,
            time_us=self.time_us(view),
            synced=self._commit_page.durable_in(segment.number),
        )

    def time_us(self, view: View) -> int:
        """Return the time of commits made now; no process acts on an earlier time afterwards."""
        return self._commit_page.advance_clock(max(self._settings.clock(), view.head.time_us))

    def write(self, view: View, frames: Frames) -> None:
        """Append frames and publish them; inside ``exclusive``, with the view they were made for.

        Raises:
            Unavailable, DiskFull: certainly not applied.
            OutcomeUnknown: the disk failed so that the batch may come back after a restart.
        """
        if not frames.size:
            return
        if not frames.needs <= view.manifest.needs:
            view = self._noted(view, frames.needs)
        segment, start, before = self._active(view), view.active.offset, view.position
        is_synced = self._settings.sync == "always"
        try:
            segment.append(frames.buffers, start)
        except OSError as ex:
            self._roll_back(segment, start, ex)
        if is_synced:
            self._sync_or_abandon(view, segment)
        position = before + frames.size
        self._commit_page.published = position
        # Only after publishing: a process that dies in between leaves this word too low. In the
        # other order, the word could call bytes durable that the next writer truncates as
        # unacknowledged.
        if is_synced:
            self._commit_page.durable = position
        self.failure = None
        self._settings.measures.appended(frames.size)
        self._follower.advance(
            frames.entries,
            frames.commits,
            start=before,
            position=position,
            head=frames.head,
        )
        self._waker.wake()

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
            view: up to date, with empty deltas only.
            buffers: all frames.
            record_count: records in them.
            head: the state after them.
            make_index: writes the index file of the segment, durably.

        Raises:
            Unavailable, DiskFull: certainly not applied.
            OutcomeUnknown: the disk failed while the manifest was installed.
        """
        segment = self._active(view)
        size = HEADER_SIZE + sum(map(len, buffers))
        self.free_space.require(view, size)
        try:
            segment.append(buffers, HEADER_SIZE)
        except OSError as ex:
            self._roll_back(segment, HEADER_SIZE, ex)
        self._sync_or_abandon(view, segment)
        try:
            index = make_index()
        except OSError as ex:
            self._roll_back(segment, HEADER_SIZE, ex)
        self._commit_page.advance_clock(head.time_us)
        sealed = SegmentState(segment.number, size, record_count, *head, is_indexed=True)
        try:
            self._roller.seal(view, (sealed,), index)
        except OSError as ex:
            self._refusal(ex)
            raise OutcomeUnknown(
                f"the disk failed during a bulk load ({ex}); read before you load again"
            ) from ex
        self._waker.wake()
        self.failure = None
        self._settings.measures.appended(size - HEADER_SIZE)

    def seal(self) -> None:
        """Seal the active segment, if it holds anything, and continue in a new one."""
        with self.exclusive() as view:
            if view.active.record_count:
                self.roll(view)

    def roll(self, view: View) -> View:
        """Seal the active segment and continue in a new one; inside ``exclusive``."""
        return self._roller.roll(view)

    def sync(self) -> None:
        """Sync all published frames: the work of ``sync=interval``.

        Raises:
            Unavailable: the disk failed; the segment is abandoned.
        """
        position = self._follower.current().position
        if (self._commit_page.durable or 0) >= position:
            return
        segment = self._active(self._follower.view)
        if self._commit_page.abandoned == segment.number:
            with self.exclusive():
                return  # the log continues in another segment, and all before that is durable
        try:
            self._syncer.sync(segment)
        except OSError as ex:
            raise self._refusal(ex) from ex
        self._commit_page.durable = position

    @property
    def lock(self) -> FolderLock:
        """The lock under which the manifest is changed."""
        return self._lock

    def change_manifest(self, change: Callable[[Manifest], Manifest]) -> Manifest:
        """Install a changed manifest while no writer appends.

        Args:
            change: gets the installed manifest and returns the next one.
        """
        with self._lock:  # this also refuses if the path leads to another store
            manifest = change(read_manifest(self._files, self._folder))
            self._install(manifest)
            return manifest

    def retain(self, retention: Retention) -> None:
        """Change the retention of the store.

        Raises:
            Unavailable, DiskFull: the disk failed; no lasting change was made.
        """
        try:
            self.settle()
            self.change_manifest(lambda manifest: manifest.changed(retention=retention))
        except OSError as ex:
            raise self._refusal(ex) from ex

    def install_manifest(self, manifest: Manifest) -> View:
        """Install a manifest and return the view of it; inside ``exclusive``."""
        self._install(manifest)
        return self._follower.refresh()

    def settle(self) -> None:
        """Finish a change of the manifest during which a process died or failed.

        Raises:
            Unavailable: the disk failed once more, or the path leads to another store now.
        """
        self._place.look()
        if self._commit_page.is_changing:
            try:
                with self._lock:
                    settle_manifest(self._files, self._folder, self._commit_page)
            except OSError as ex:
                raise self._refusal(ex) from ex

    def _prepare(self) -> View:
        """Catch up, clean the end of the log, and roll a segment that is full or abandoned."""
        view = self._end.view()
        active, segment = view.active, self._active(view)
        size = segment.file.size()
        if size != active.offset:
            view = self._end.without_tail(view, segment, size)
            active = view.active
        if self._settings.sync != "always" and not view.manifest.is_lax:
            self._install(dataclasses.replace(view.manifest.changed(), is_lax=True))
            view = self._follower.refresh()
        # A segment whose file may not grow further (``ulimit -f``) is full, however short it is.
        is_full = (
            (self._outgrown == active.segment and active.record_count > 0)
            or active.offset >= self.free_space.segment_bytes_max
            or active.record_count >= self._settings.segment_records_max
        )
        if is_full or self._commit_page.abandoned == active.segment:
            view = self.roll(view)
        return view

    def _noted(self, view: View, needs: Set[str]) -> View:
        """Add needs to the manifest, before the first record that has them is written."""
        manifest = view.manifest.changed()
        return self.install_manifest(dataclasses.replace(manifest, needs=manifest.needs | needs))

    def _install(self, manifest: Manifest) -> None:
        install_manifest(self._files, self._folder, manifest, self._commit_page)

    def _active(self, view: View) -> Segment:
        number = view.active.segment
        return view.segments.get(number) or view.segment(number)

    def _roll_back(self, segment: Segment, start: int, cause: OSError) -> NoReturn:
        """Truncate what a failed write may have left, and refuse the write.

        The truncation is durable: the bytes may hold whole frames, which recovery after a power cut
        would keep.
        """
        try:
            segment.file.truncate(start)
            self._syncer.sync(segment)
        except OSError as ex:
            self._commit_page.abandoned = segment.number
            self._refusal(ex)
            raise OutcomeUnknown(outcome_unknown("writing", cause)) from cause
        if cause.errno == errno.EFBIG:
            self._outgrown = segment.number
        raise self._refusal(cause) from cause

    def _sync_or_abandon(self, view: View, segment: Segment) -> None:
        try:
            self._syncer.sync(segment)
        except OSError as cause:
            refusal = self._refusal(cause)
            try:
                segment.file.truncate(view.active.offset)
                self.roll(view)
            except OSError:
                raise OutcomeUnknown(outcome_unknown("syncing", cause)) from cause
            raise refusal from cause

    def _refusal(self, cause: OSError) -> Unavailable:
        """Return the error for a write that was certainly not applied."""
        self.failure = f"writes are refused: {cause.strerror or cause}"
        self._settings.measures.refused(self._settings.clock())
        return not_applied(cause)
