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
from typing import Protocol

Buffer = bytes | bytearray | memoryview

_IOV_MAX = 1_024
"""Most buffers one ``pwritev`` takes (POSIX guarantees 16, Linux and macOS give 1,024)."""


class File(Protocol):
    """An open file. Offsets and sizes are in bytes."""

    def pread(self, size: int, offset: int) -> bytes:
        """Up to ``size`` bytes at ``offset``; fewer only at the end of the file."""

    def pwrite(self, buffers: Sequence[Buffer], offset: int) -> None:
        """Write all buffers, one after the other, from ``offset`` on."""

    def sync(self) -> None:
        """Return once data and size are on stable storage. Never call again after an error."""

    def truncate(self, size: int) -> None:
        """Cut (or lengthen with zeros) to ``size``."""

    def size(self) -> int:
        """Current size."""

    def map(self, size: int, *, writable: bool = False) -> mmap.mmap:
        """Map the first ``size`` bytes, shared with every process that maps them."""

    def lock(self, *, wait: bool = True, is_shared: bool = False) -> bool:
        """Take the advisory lock of the file; false when taken and not to wait.

        Args:
            wait: for the lock, as long as it takes.
            is_shared: let others have it shared, too; else it is exclusive.
        """

    def unlock(self) -> None:
        """Let go of the lock; closing the file or the death of the process does it too."""

    def close(self) -> None:
        """Close; twice is harmless."""


class Files(Protocol):
    """Operations on names."""

    def open(self, path: Path, *, create: bool = False, writable: bool = True) -> File:
        """Open a file; ``create`` makes an empty one where there is none."""

    def rename(self, source: Path, target: Path) -> None:
        """Atomically put ``source`` in the place of ``target``."""

    def unlink(self, path: Path) -> None:
        """Remove a name; a missing one is fine."""

    def sync_folder(self, path: Path) -> None:
        """Make creations, renames and removals in a folder durable."""

    def make_folder(self, path: Path) -> None:
        """Create a folder, for its owner only, and its parents where missing."""

    def names(self, path: Path) -> list[str]:
        """Names of the entries of a folder, in no particular order."""

    def free_bytes(self, path: Path) -> int:
        """Room on the disk of a folder, for whoever writes there; very much where nobody knows."""


class RealFile:
    """A file of the operating system."""

    __slots__ = ("_fd",)

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def pread(self, size: int, offset: int) -> bytes:
        """See ``File.pread``; one system call unless the kernel returns short."""
        data = os.pread(self._fd, size, offset)
        if len(data) == size or not data:
            return data
        rest = self.pread(size - len(data), offset + len(data))
        return data + rest

    def pwrite(self, buffers: Sequence[Buffer], offset: int) -> None:
        """See ``File.pwrite``; goes on where the kernel wrote short."""
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
        """See ``File.sync``: ``fdatasync``, or ``F_FULLFSYNC`` where that is what is needed."""
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

    def map(self, size: int, *, writable: bool = False) -> mmap.mmap:
        """See ``File.map``."""
        access = mmap.ACCESS_WRITE if writable else mmap.ACCESS_READ
        return mmap.mmap(self._fd, size, access=access)

    def lock(self, *, wait: bool = True, is_shared: bool = False) -> bool:
        """See ``File.lock``: ``flock``, which closing another descriptor does not drop."""
        kind = fcntl.LOCK_SH if is_shared else fcntl.LOCK_EX
        try:
            fcntl.flock(self._fd, kind | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            return False
        return True

    def unlock(self) -> None:
        """See ``File.unlock``."""
        fcntl.flock(self._fd, fcntl.LOCK_UN)

    def close(self) -> None:
        """See ``File.close``."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def __del__(self) -> None:
        # A reader may still hold the file when a newer view drops it: the last one closes.
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
        if not writable and stat.S_ISDIR(os.fstat(fd).st_mode):  # else the system says it itself
            os.close(fd)
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
        return RealFile(fd)

    def rename(self, source: Path, target: Path) -> None:
        """See ``Files.rename``."""
        os.replace(source, target)

    def unlink(self, path: Path) -> None:
        """See ``Files.unlink``."""
        path.unlink(missing_ok=True)

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

    def names(self, path: Path) -> list[str]:
        """See ``Files.names``."""
        return os.listdir(path)

    def free_bytes(self, path: Path) -> int:
        """See ``Files.free_bytes``."""
        found = os.statvfs(path)
        if not found.f_blocks:
            return sys.maxsize  # a file system that does not count, such as some of FUSE
        return found.f_bavail * found.f_frsize


def _opened_or_made(path: Path, flags: int) -> int:
    """Open a file, which is made where there is none.

    What root makes belongs to whom the folder belongs to, else a server of theirs could not open
    it. Only what is made here is given away: a link that they put there may lead anywhere.
    """
    if os.geteuid() != 0 or (owner := path.parent.stat()).st_uid == 0:
        return os.open(path, flags, 0o600)
    try:
        fd = os.open(path, flags | os.O_EXCL, 0o600)
    except FileExistsError:
        return os.open(path, flags, 0o600)
    with contextlib.suppress(OSError):  # the file system knows no owners, or root is none there
        os.fchown(fd, owner.st_uid, owner.st_gid)
    return fd


def read_whole(files: Files, path: Path) -> bytes:
    """All bytes of a small file."""
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
