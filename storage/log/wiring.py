"""Opening the parts of a log store and joining them."""

from __future__ import annotations

import dataclasses
import sys
import traceback
from dataclasses import dataclass
from pathlib import Path

from rundlet_server.storage.files import CANNOT_WRITE
from rundlet_server.storage.log.backup.leases import Leases
from rundlet_server.storage.log.feed.feed import Feed
from rundlet_server.storage.log.format.commit_page import FILE_NAME as COMMIT_NAME
from rundlet_server.storage.log.format.commit_page import CommitPage
from rundlet_server.storage.log.health import HealthCheck
from rundlet_server.storage.log.maintain.eraser import Eraser
from rundlet_server.storage.log.maintain.maintainer import Maintainer
from rundlet_server.storage.log.open.folder_lock import FolderLock
from rundlet_server.storage.log.open.read_only import ReadOnlyFiles, open_for_reading
from rundlet_server.storage.log.open.recovery import open_folder
from rundlet_server.storage.log.read.clock import SharedClock
from rundlet_server.storage.log.read.expired import ExpiredCounter
from rundlet_server.storage.log.read.follower import Follower
from rundlet_server.storage.log.waiting.fifo import WaitersFolder
from rundlet_server.storage.log.waiting.waiting import Waiting
from rundlet_server.storage.log.waiting.waker import Waker
from rundlet_server.storage.log.write.group_commit import GroupCommit
from rundlet_server.storage.log.write.writer import Writer
from rundlet_server.storage.requests import check_retention
from rundlet_server.storage.settings import StoreSettings
from rundlet_server.storage.timeline import Retention


@dataclass(frozen=True, slots=True)
class Parts:
    """What a store in a folder is made of, open and joined."""

    lock: FolderLock
    commit_page: CommitPage
    follower: Follower
    feed: Feed
    waiting: Waiting
    waker: Waker
    clock: SharedClock
    expired: ExpiredCounter
    writer: Writer
    group_commit: GroupCommit
    eraser: Eraser
    health: HealthCheck
    maintainer: Maintainer
    leases: Leases

    def close(self) -> None:
        """Close the lock files, and release the commit page last: then a repair may begin."""
        self.waiting.close()
        self.waker.close()
        self.maintainer.close()
        self.lock.close()
        self.commit_page.leave()


def open_parts(folder: Path, settings: StoreSettings) -> Parts:
    """Open a folder, or make a new store in it.

    If nothing can be written in the folder, a store can still be opened read-only, see
    ``open.read_only``. Otherwise:

    1. take the lock of the folder and recover the end of the log: ``open.recovery``;
    2. open what reads: the follower and the clock;
    3. open what writes: the writer, its queue, and the maintainer.

    Raises:
        Damaged, UnknownFormat: see ``open.recovery``.
        OSError: the folder cannot be used.
    """
    handled = sys.exception()  # by the caller, with frames that are not ours
    try:
        return _opened_somehow(folder, settings)
    except BaseException as ex:
        _free_files(ex, handled)
        raise


def _free_files(failure: BaseException, handled: BaseException | None) -> None:
    """Close the files that a failed opening had opened, which close when they are freed.

    The frames in the traceback refer to them, and the exception may live long. They are many, for
    example all index files, whose maps close only with the last array over them.
    """
    ex: BaseException | None = failure
    while ex is not None and ex is not handled:
        traceback.clear_frames(ex.__traceback__)
        ex = ex.__cause__ or ex.__context__


def _opened_somehow(folder: Path, settings: StoreSettings) -> Parts:
    try:
        return _opened(folder, settings)
    except OSError as ex:
        if not settings.is_read_only or ex.errno not in CANNOT_WRITE:
            raise
        return _opened_for_reading(folder, settings, ex)


def _opened(folder: Path, settings: StoreSettings) -> Parts:
    files = settings.files
    if settings.is_read_only:
        files.names(folder)  # a folder that does not exist is not created for reading
    else:
        files.make_folder(folder)
    lock = FolderLock(files, folder)
    try:
        return _opened_with(lock, folder, settings)
    except BaseException:
        lock.close()
        raise


def _opened_with(lock: FolderLock, folder: Path, settings: StoreSettings) -> Parts:
    with lock:
        retention = settings.retention(Retention())
        commit_page = open_folder(settings.files, folder, settings.boot_id, retention)
    lock.place.add(COMMIT_NAME, commit_page.identity())
    try:
        parts = _joined(folder, settings, lock, commit_page)
        if not settings.is_read_only:
            _set_retention(settings, parts)
        return parts
    except BaseException:
        commit_page.leave()  # else a repair in this process would wait for the garbage collector
        raise


def _set_retention(settings: StoreSettings, parts: Parts) -> None:
    """Give the store the retention of the settings; a full disk does not keep it from opening.

    Raises:
        InvalidRequest: no store can have that retention.
    """
    present = parts.follower.view.manifest.retention
    wanted = settings.retention(present)
    if wanted == present:
        return
    check_retention(wanted)
    try:
        parts.writer.change_manifest(
            lambda manifest: manifest.changed(retention=settings.retention(manifest.retention))
        )
    except OSError as ex:
        parts.writer.failure = f"the retention could not be set: {ex.strerror or ex}"


def _opened_for_reading(folder: Path, settings: StoreSettings, cause: OSError) -> Parts:
    files = ReadOnlyFiles(settings.files)
    try:
        commit_page = open_for_reading(files, folder, settings.boot_id)  # looks at the lock's file
    except FileNotFoundError:
        raise cause from None  # there is no store: the reason why none can be made says more
    lock = FolderLock(files, folder)  # the file of this lock is private
    lock.place.add(COMMIT_NAME, commit_page.identity())
    return _joined(folder, dataclasses.replace(settings, files=files), lock, commit_page)


def _joined(
    folder: Path, settings: StoreSettings, lock: FolderLock, commit_page: CommitPage
) -> Parts:
    follower = Follower(
        settings.files,
        folder,
        commit_page,
        lock.guard,
        lock.place,
        cache_bytes_max=settings.cache_bytes_max,
        open_segments_max=settings.open_segments_max,
    )
    clock = SharedClock(settings.clock, commit_page)
    feed = Feed(follower, answer_bytes_max=settings.limits.answer_bytes_max)
    waiters = WaitersFolder(settings.files, folder, commit_page)
    waker = Waker(waiters, commit_page)
    writer = Writer(
        folder, settings, commit_page=commit_page, follower=follower, lock=lock, waker=waker
    )
    leases = Leases(
        settings.files,
        folder,
        commit_page=commit_page,
        clock=clock,
        sync=writer.sync,
        is_erasing=lambda: bool(follower.refresh().erased),
    )
    maintainer = Maintainer(
        folder,
        settings,
        commit_page=commit_page,
        follower=follower,
        writer=writer,
        clock=clock,
        guard=lock.guard,
        end_leases=leases.end_all_with,
    )
    return Parts(
        lock=lock,
        commit_page=commit_page,
        follower=follower,
        feed=feed,
        waiting=Waiting(waiters, commit_page, lambda: follower.current().head.revision),
        waker=waker,
        clock=clock,
        expired=ExpiredCounter(commit_page, follower, clock),
        writer=writer,
        group_commit=GroupCommit(writer, settings.measures),
        eraser=Eraser(settings, follower=follower, writer=writer, maintainer=maintainer),
        health=HealthCheck(
            folder,
            settings,
            commit_page=commit_page,
            writer=writer,
            place=lock.place,
            clock=clock,
        ),
        maintainer=maintainer,
        leases=leases,
    )
