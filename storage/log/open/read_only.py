"""Opening a store for reading in a folder where nothing can be written.

The folder may be a snapshot that is mounted read-only, lie on a full disk, or belong to another
user. Then this process can take no lock, share no page, and clean up nothing that a crash left. So:

1. lock files are private and in memory: this process changes nothing, so it need not keep others
   away. Only while it looks at the end of the log does it share the writers' lock, if that file
   exists, so that bytes behind the published end are no in-flight commit;
2. if the commit page knows the end of the log, it is mapped for reading: a process that writes
   through another mount may go on, and is followed;
3. else, or if the page is older than the log, the end is found in the log as recovery does, and
   kept in a private page: a process that begins to write later is not noticed.
"""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, NoReturn

from rundlet_server.storage.errors import Damaged
from rundlet_server.storage.files import File, FileIdentity, Files, RealFile
from rundlet_server.storage.log.format.commit_page import CommitPage
from rundlet_server.storage.log.format.locator import offset_of, pack_position, segment_of
from rundlet_server.storage.log.format.manifest import (
    FILE_IS_MISSING,
    FILE_NAME,
    SEGMENT_IS_UNKNOWN,
    Manifest,
    read_manifest,
)
from rundlet_server.storage.log.format.segment import HEADER_SIZE, Segment
from rundlet_server.storage.log.open.folder_lock import LOCK_NAME
from rundlet_server.storage.log.open.recovery import end_of_tail, find_end, refuse_unnamed
from rundlet_server.storage.log.open.unfinished import refuse_unfinished


class ReadOnlyFiles:
    """The files of a folder that must not change. A file to be created is private, in memory."""

    def __init__(self, files: Files) -> None:
        self._files = files
        self._private: dict[Path, RealFile] = {}

    def open(self, path: Path, *, create: bool = False, writable: bool = True) -> File:
        """Open a file for reading, or a private, empty one instead of one to be created."""
        del writable
        if create and path not in self._private:
            self._private[path] = _private_file()
        if path in self._private:
            return self._private[path].duplicate()
        return self._files.open(path, writable=False)

    def rename(self, source: Path, target: Path) -> NoReturn:
        """Refuse."""
        del source
        raise _refusal(target)

    def unlink(self, path: Path) -> NoReturn:
        """Refuse."""
        raise _refusal(path)

    def link(self, source: Path, target: Path) -> NoReturn:
        """Refuse."""
        del source
        raise _refusal(target)

    def sync_folder(self, path: Path) -> NoReturn:
        """Refuse."""
        raise _refusal(path)

    def make_folder(self, path: Path) -> NoReturn:
        """Refuse."""
        raise _refusal(path)

    def remove_folder(self, path: Path) -> NoReturn:
        """Refuse."""
        raise _refusal(path)

    def names(self, path: Path) -> list[str]:
        """See ``Files.names``."""
        return self._files.names(path)

    def identity(self, path: Path) -> FileIdentity | None:
        """See ``Files.identity``; a private file stays in its place."""
        private = self._private.get(path)
        return private.identity() if private is not None else self._files.identity(path)

    def free_bytes(self, path: Path) -> int:
        """See ``Files.free_bytes``."""
        return self._files.free_bytes(path)


def open_for_reading(files: ReadOnlyFiles, folder: Path, boot_id: int) -> CommitPage:
    """Return a commit page that knows the end of the log, and change nothing.

    Raises:
        FileNotFoundError: there is no store.
        Damaged, UnknownFormat: see ``recovery.open_folder``.
    """
    refuse_unfinished(files, folder)
    with _writers_kept_away(files, folder) as is_still:
        manifest = read_manifest(files, folder)
        refuse_unnamed(files, folder, manifest)
        try:
            page = CommitPage.follow(files, folder, boot_id)
        except (FileNotFoundError, Damaged):  # opening for writing would create it anew
            return _private_page(files, folder, boot_id, _end_in_log(files, folder, manifest, 0))
        if page.published is not None and not is_still:
            return page
        try:
            end = _end(files, folder, manifest, page)
        except BaseException:
            page.close()
            raise
        if (end.published, end.generation) == (page.published, page.generation):
            return page
        page.close()
        return _private_page(files, folder, boot_id, end)


@contextmanager
def _writers_kept_away(files: ReadOnlyFiles, folder: Path) -> Iterator[bool]:
    """Keep writers away if their lock can be opened; yield whether none can be writing."""
    try:
        lock = files.open(folder / LOCK_NAME)
    except FileNotFoundError:
        yield True  # a copy without it: a writer creates it first
        return
    except PermissionError:
        yield False
        return
    try:
        lock.lock(is_shared=True)
        yield True
    finally:
        lock.close()  # this releases it


class _End(NamedTuple):
    """The fields of a commit page about the end of a log."""

    published: int
    generation: int
    clock_us: int


def _end(files: ReadOnlyFiles, folder: Path, manifest: Manifest, page: CommitPage) -> _End:
    """Return the end that ``recovery.ensure_end`` would put into a page, changing nothing."""
    published, active = page.published, manifest.active.number
    if published is None:
        return _end_in_log(files, folder, manifest, page.durable or 0)
    if segment_of(published) > active:
        raise Damaged(folder / FILE_NAME, 0, SEGMENT_IS_UNKNOWN)
    start = max(published, pack_position(active, HEADER_SIZE))
    segment = _active_segment(files, folder, manifest)
    end, time_us = end_of_tail(segment, offset_of(start), abandoned=page.abandoned)
    segment.file.close()
    if end is None:
        found = _end_in_log(files, folder, manifest, page.durable or 0)
        return found._replace(clock_us=max(found.clock_us, page.clock_us))
    generation = max(page.generation, manifest.generation)
    return _End(pack_position(active, end), generation, max(time_us, page.clock_us))


def _end_in_log(files: ReadOnlyFiles, folder: Path, manifest: Manifest, durable: int) -> _End:
    """Return what ``recovery.recover_end`` would find in the log."""
    segment = _active_segment(files, folder, manifest)
    place = offset_of(durable) if segment_of(durable) == segment.number else HEADER_SIZE
    end, time_us = find_end(segment, segment.file.size(), durable=place)
    segment.file.close()
    clock_us = max(time_us, manifest.active.last_time_us)
    return _End(pack_position(segment.number, end), manifest.generation, clock_us)


def _active_segment(files: ReadOnlyFiles, folder: Path, manifest: Manifest) -> Segment:
    try:
        return Segment.open(files, folder, manifest.active.number, writable=False)
    except FileNotFoundError as ex:
        raise Damaged(str(ex.filename), 0, FILE_IS_MISSING) from ex


def _private_page(files: ReadOnlyFiles, folder: Path, boot_id: int, end: _End) -> CommitPage:
    page = CommitPage.open(files, folder, boot_id)
    page.start(published=end.published, generation=end.generation, clock_us=end.clock_us)
    return page


def _private_file() -> RealFile:
    if hasattr(os, "memfd_create"):
        return RealFile(os.memfd_create("rundlet", os.MFD_CLOEXEC))
    with tempfile.TemporaryFile() as file:
        return RealFile(os.dup(file.fileno()))


def _refusal(path: Path) -> OSError:
    return OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))
