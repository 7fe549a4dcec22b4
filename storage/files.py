"""The only door to the file system: every byte the engine reads or writes passes here.

Tests put other implementations behind the same two protocols (recording, failing at the n-th
call, a simulated disk that loses what was not synced). Nothing else in ``storage`` may call
``open``, ``os`` file functions or ``mmap``.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import mmap
import os
import stat
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple, Protocol

from rundlet_server.storage.forks import listen_for_forks

Buffer = bytes | bytearray | memoryview

DISK_FREE_BYTES_MIN: Final = 1024 * 1024
"""With less free space, the disk may refuse a write at any moment."""

CANNOT_WRITE: Final = frozenset(
    {errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOSPC, errno.EDQUOT}
)
"""The errors of a folder that can be read but not written: it is mounted read-only, belongs to
another user, or is full."""

_IOV_MAX = 1_024
"""The most buffers that one ``pwritev`` takes (POSIX guarantees 16, Linux and macOS give 1,024)."""


class FileIdentity(NamedTuple):
    """What identifies a file on this machine, whatever its names."""

    device: int
    inode: int


class File(Protocol):
    """An open file. Offsets and sizes are in bytes."""

    def pread(self, size: int, offset: int) -> bytes:
        """Return up to ``size`` bytes at ``offset``; fewer only at the end of the file."""

    def pwrite(self, buffers: Sequence[Buffer], offset: int) -> None:
        """Write all buffers, one after the other, from ``offset`` on."""

    def sync(self) -> None:
        """Return once data and size are on stable storage. Never call it again after an error."""

    def truncate(self, size: int) -> None:
        """Shorten the file to ``size``, or lengthen it with zeros."""

    def size(self) -> int:
        """Return the current size."""

    def identity(self) -> FileIdentity:
        """Return which file this is; it stays so if the file is renamed or removed."""

    def map(self, size: int, *, writable: bool = False) -> mmap.mmap:
        """Map the first ``size`` bytes, shared with every process that maps them."""

    def lock(self, *, wait: bool = True, is_shared: bool = False) -> bool:
        """Take the advisory lock of the file; return false if it is taken and ``wait`` is false.

        From then on the file is closed in a forked child, which must neither keep nor release the
        lock. Do not map a file that you lock: the mapping would keep the lock in the child.

        Args:
            wait: block until the lock is free; otherwise return at once.
            is_shared: let other processes share the lock, too; otherwise it is exclusive.
        """

    def unlock(self) -> None:
        """Release the lock; to close the file, or the death of the process, has the same effect."""

    def close(self) -> None:
        """Close the file; a second call does no harm."""


class Files(Protocol):
    """Operations on names."""

    def open(self, path: Path, *, create: bool = False, writable: bool = True) -> File:
        """Open a file; ``create`` makes an empty one if there is none."""

    def rename(self, source: Path, target: Path) -> None:
        """Atomically put ``source`` in the place of ``target``."""

    def unlink(self, path: Path) -> None:
        """Remove a name; a missing one is no error."""

    def link(self, source: Path, target: Path) -> None:
        """Give the file ``source`` another name; no file may have it yet."""

    def sync_folder(self, path: Path) -> None:
        """Make creations, renames and removals in a folder durable."""

    def make_folder(self, path: Path) -> None:
        """Create a folder, for its owner only, and its parents if they are missing."""

    def remove_folder(self, path: Path) -> None:
        """Remove an empty folder; a missing one is no error."""

    def names(self, path: Path) -> list[str]:
        """Return the names of the entries of a folder, in no particular order."""

    def identity(self, path: Path) -> FileIdentity | None:
        """Return which file a path leads to; ``None`` if it leads to none."""

    def free_bytes(self, path: Path) -> int:
        """Return the free bytes, for this user, of the disk with a folder.

        A file system that does not count its blocks (``f_blocks`` is 0) has no known limit: this
        returns ``sys.maxsize``.
        """


class RealFile:
    """A file of the operating system."""

    __slots__ = ("__weakref__", "_fd", "_is_for_locks")

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._is_for_locks = False

    def duplicate(self) -> RealFile:
        """Return another descriptor of the same open file."""
        return RealFile(os.dup(self._fd))

    def pread(self, size: int, offset: int) -> bytes:
        """See ``File.pread``; one system call unless the kernel returns fewer bytes."""
        data = os.pread(self._fd, size, offset)
        if len(data) == size or not data:
            return data
        return data + self.pread(size - len(data), offset + len(data))

    def fileno(self) -> int:  # noqa: D102 # as of Python's files
        return self._fd

    def pwrite(self, buffers: Sequence[Buffer], offset: int) -> None:
        """See ``File.pwrite``; continues after a short write of the kernel."""
        if len(buffers) <= _IOV_MAX:
            written = os.pwritev(self._fd, buffers, offset)
            if written == sum(map(len, buffers)):
                return
        self._pwrite_in_parts(buffers, offset)

    def _pwrite_in_parts(self, buffers: Sequence[Buffer], offset: int) -> None:
        """Write as much at a time as the kernel takes."""
        pending = [memoryview(buffer) for buffer in buffers if len(buffer)]
        first = 0
        while first < len(pending):
            written = os.pwritev(self._fd, pending[first : first + _IOV_MAX], offset)
            offset += written
            while first < len(pending) and written >= len(pending[first]):
                written -= len(pending[first])
                first += 1
            if written:
                pending[first] = pending[first][written:]

    def sync(self) -> None:
        """See ``File.sync``: ``fdatasync``, or ``F_FULLFSYNC`` on systems that need it."""
        if hasattr(fcntl, "F_FULLFSYNC"):
            fcntl.fcntl(self._fd, fcntl.F_FULLFSYNC)
        else:
            os.fdatasync(self._fd)

    def truncate(self, size: int) -> None:
        """See ``File.truncate``."""
        os.ftruncate(self._fd, size)

    def size(self) -> int:
        """See ``File.size``."""
        # No position is ever used, so it may move; ``fstat`` takes twice as long.
        return os.lseek(self._fd, 0, os.SEEK_END)

    def identity(self) -> FileIdentity:
        """See ``File.identity``."""
        status = os.fstat(self._fd)
        return FileIdentity(status.st_dev, status.st_ino)

    def map(self, size: int, *, writable: bool = False) -> mmap.mmap:
        """See ``File.map``."""
        access = mmap.ACCESS_WRITE if writable else mmap.ACCESS_READ
        return mmap.mmap(self._fd, size, access=access)

    def lock(self, *, wait: bool = True, is_shared: bool = False) -> bool:
        """See ``File.lock``: ``flock``, which closing another descriptor does not drop."""
        if not self._is_for_locks:
            self._is_for_locks = True
            listen_for_forks(self)
        kind = fcntl.LOCK_SH if is_shared else fcntl.LOCK_EX
        try:
            fcntl.flock(self._fd, kind | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            return False
        return True

    def unlock(self) -> None:
        """See ``File.unlock``."""
        if self._fd >= 0:  # otherwise it is unlocked already, and in a forked child the parent's
            fcntl.flock(self._fd, fcntl.LOCK_UN)

    def close(self) -> None:
        """See ``File.close``."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def after_fork(self) -> None:
        """Close the child's copy of a file that is used for locks; the parent keeps the lock."""
        with contextlib.suppress(OSError):  # another thread had just closed the file
            self.close()

    def __del__(self) -> None:
        # A reader may still hold the file when a newer view drops it: the last holder closes it.
        with contextlib.suppress(OSError):
            self.close()


class RealFiles:
    """The file system of the operating system."""

    def open(self, path: Path, *, create: bool = False, writable: bool = True) -> RealFile:
        """See ``Files.open``."""
        flags = (os.O_RDWR if writable else os.O_RDONLY) | os.O_CLOEXEC
        if create:
            return RealFile(_opened_or_made(path, flags | os.O_CREAT))
        fd = os.open(path, flags)
        if not writable and stat.S_ISDIR(os.fstat(fd).st_mode):  # else the system raises this
            os.close(fd)
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
        return RealFile(fd)

    def rename(self, source: Path, target: Path) -> None:
        """See ``Files.rename``."""
        os.replace(source, target)

    def unlink(self, path: Path) -> None:
        """See ``Files.unlink``."""
        path.unlink(missing_ok=True)

    def link(self, source: Path, target: Path) -> None:
        """See ``Files.link``."""
        os.link(source, target)

    def sync_folder(self, path: Path) -> None:
        """See ``Files.sync_folder``."""
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)

    def make_folder(self, path: Path) -> None:
        """See ``Files.make_folder``."""
        path.mkdir(mode=0o700, parents=True, exist_ok=True)

    def remove_folder(self, path: Path) -> None:
        """See ``Files.remove_folder``."""
        with contextlib.suppress(FileNotFoundError):
            path.rmdir()

    def names(self, path: Path) -> list[str]:
        """See ``Files.names``."""
        return os.listdir(path)

    def identity(self, path: Path) -> FileIdentity | None:
        """See ``Files.identity``."""
        try:
            status = os.stat(path)
            return FileIdentity(status.st_dev, status.st_ino)
        except (FileNotFoundError, NotADirectoryError):
            return None

    def free_bytes(self, path: Path) -> int:
        """See ``Files.free_bytes``."""
        space = disk_space(path)
        return sys.maxsize if space is None else space.free_bytes


class DiskSpace(NamedTuple):
    """The space of a file system, as far as this user may fill it."""

    free_bytes: int
    total_bytes: int


def disk_space(path: Path) -> DiskSpace | None:
    """Return the space of the disk with ``path``; ``None`` if the file system does not count it.

    Raises:
        OSError: the system refuses to answer.
    """
    found = os.statvfs(path)
    if not found.f_blocks:
        return None  # for example some of FUSE: these zeros do not mean that the disk is full
    return DiskSpace(found.f_bavail * found.f_frsize, found.f_blocks * found.f_frsize)


def reported_free_bytes(files: Files, path: Path) -> int | None:
    """Return the free space to report; ``None`` if the file system does not count or know it."""
    try:
        free_bytes = files.free_bytes(path)
    except OSError:
        return None
    return None if free_bytes == sys.maxsize else free_bytes


def _opened_or_made(path: Path, flags: int) -> int:
    """Open a file, and make it if there is none.

    If root makes a file, it gives the file to the owner of the folder, else a server of that user
    could not open it. Only a file that is made here is given away: a link that the user put there
    may lead anywhere.
    """
    if os.geteuid() != 0 or (owner := path.parent.stat()).st_uid == 0:
        return os.open(path, flags, 0o600)
    try:
        fd = os.open(path, flags | os.O_EXCL, 0o600)
    except FileExistsError:
        return os.open(path, flags, 0o600)
    with contextlib.suppress(OSError):  # the file system has no owners, or root has no rights there
        os.fchown(fd, owner.st_uid, owner.st_gid)
    return fd


def read_whole(files: Files, path: Path) -> bytes:
    """Return all bytes of a small file."""
    file = files.open(path, writable=False)
    try:
        return file.pread(file.size(), 0)
    finally:
        file.close()


def file_size(files: Files, path: Path) -> int:
    """Return the size of a file in bytes."""
    file = files.open(path, writable=False)
    try:
        return file.size()
    finally:
        file.close()


def write_unsynced(files: Files, path: Path, data: Buffer) -> None:
    """Write bytes to the start of a file, which is made if there is none, and do not sync it."""
    file = files.open(path, create=True)
    try:
        file.pwrite([data], 0)
    finally:
        file.close()


def map_file(files: Files, path: Path, size: int, *, writable: bool = False) -> mmap.mmap:
    """Map the first ``size`` bytes of a file, and close it; the mapping stays."""
    file = files.open(path, writable=writable)
    try:
        return file.map(size, writable=writable)
    finally:
        file.close()


def make_page(file: File, size: int) -> None:
    """Give a file that is to be mapped its size, all zero, unless it has that size already.

    The zeros are written, not left as a hole: on a full disk a store into a mapped hole is a
    SIGBUS, which kills the process.
    """
    if file.size() != size:
        file.pwrite([bytes(size)], 0)
        file.truncate(size)
        file.sync()


def replace_file(files: Files, path: Path, data: Buffer) -> None:
    """Atomically and durably give ``path`` the content ``data``.

    1. write a temporary file beside it and sync it: a crash leaves the old content;
    2. rename it over ``path``: a crash leaves the old or the new content, never a mixture;
    3. sync the folder: from here on the new content survives a power cut.
    """
    temporary = path.with_name(path.name + ".tmp")
    files.unlink(temporary)
    file = files.open(temporary, create=True)
    try:
        file.pwrite([data], 0)
        file.sync()
    finally:
        file.close()
    files.rename(temporary, path)
    files.sync_folder(path.parent)
