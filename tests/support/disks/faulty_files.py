"""File systems for tests: one records every call, and one fails its n-th call."""

from __future__ import annotations

import errno
import mmap
import os
import random
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from rundlet_server.storage.files import Buffer, File, Files, RealFiles
from tests.support.disks.simulated_disk import SimulatedFile
from tests.support.disks.unsynced_files import UnsyncedFiles


class Call(NamedTuple):
    """One operation on a file or a name."""

    name: str
    file: str


class FaultyFiles(RealFiles):
    """A file system over another one, in which some calls fail.

    The other one never syncs by default, because that is faster.

    Attributes:
        calls: every call that changes something, or may, in order.
        failed: the calls that failed on purpose.
    """

    def __init__(
        self,
        failing: Callable[[int, Call], OSError | None] | None = None,
        files: Files | None = None,
        *,
        share_written: float = 0.5,
    ) -> None:
        """Wrap files; ``share_written`` is the share of its bytes that a failing write leaves."""
        self._failing = failing
        self._inner = files or UnsyncedFiles()
        self.share_written = share_written
        self.calls: list[Call] = []
        self.failed: list[Call] = []
        self._failed_numbers: set[int] = set()
        self._lock = threading.Lock()

    def check(self, name: str, path: Path) -> OSError | None:
        """Record a call; return the error with which it must fail."""
        call = Call(name, path.name)
        with self._lock:  # a store makes calls in the background, too
            self.calls.append(call)
            number = len(self.calls)
        error = self._failing(number, call) if self._failing else None
        if error is not None:
            self.failed.append(call)
            self._failed_numbers.add(number)
        return error

    def outcomes(self) -> Iterator[tuple[Call, bool]]:
        """Return every call in order, and whether it failed."""
        for number, call in enumerate(self.calls, 1):
            yield call, number in self._failed_numbers

    def _raise_if_failing(self, name: str, path: Path) -> None:
        error = self.check(name, path)
        if error is not None:
            raise error

    def open(self, path: Path, *, create: bool = False, writable: bool = True) -> File:
        self._raise_if_failing("open", path)
        return FaultyFile(self, path, self._inner.open(path, create=create, writable=writable))

    def rename(self, source: Path, target: Path) -> None:
        self._raise_if_failing("rename", target)
        self._inner.rename(source, target)

    def unlink(self, path: Path) -> None:
        self._raise_if_failing("unlink", path)
        self._inner.unlink(path)

    def link(self, source: Path, target: Path) -> None:
        self._raise_if_failing("link", target)
        self._inner.link(source, target)

    def make_folder(self, path: Path) -> None:
        self._raise_if_failing("make_folder", path)
        self._inner.make_folder(path)

    def remove_folder(self, path: Path) -> None:
        self._raise_if_failing("remove_folder", path)
        self._inner.remove_folder(path)

    def sync_folder(self, path: Path) -> None:
        self._raise_if_failing("sync_folder", path)
        self._inner.sync_folder(path)


class FaultyFile:
    """A file of ``FaultyFiles``. A write that fails still writes the first of its bytes."""

    def __init__(self, files: FaultyFiles, path: Path, file: File) -> None:
        self._files = files
        self._path = path
        self._file = file
        self.lock = file.lock
        self.unlock = file.unlock
        self.size = file.size
        self.identity = file.identity
        self.close = file.close

    def pread(self, size: int, offset: int) -> bytes:
        self._raise_if_failing("pread")
        return self._file.pread(size, offset)

    def pwrite(self, buffers: Sequence[Buffer], offset: int) -> None:
        error = self._files.check("pwrite", self._path)
        if error is not None:
            data = b"".join(buffers)
            self._file.pwrite([data[: int(len(data) * self._files.share_written)]], offset)
            raise error
        self._file.pwrite(buffers, offset)

    def sync(self) -> None:
        error = self._files.check("sync", self._path)
        if error is not None:
            if isinstance(self._file, SimulatedFile):
                self._file.forget(random.Random(len(self._files.calls)))
            raise error
        self._file.sync()

    def map(self, size: int, *, writable: bool = False) -> mmap.mmap:
        self._raise_if_failing("map")
        return self._file.map(size, writable=writable)

    def truncate(self, size: int) -> None:
        self._raise_if_failing("truncate")
        self._file.truncate(size)

    def _raise_if_failing(self, name: str) -> None:
        error = self._files.check(name, self._path)
        if error is not None:
            raise error


def failing_at(number: int, code: int = errno.EIO) -> FaultyFiles:
    """Make files whose n-th call fails, once."""

    def failing(count: int, call: Call) -> OSError | None:
        return OSError(code, os.strerror(code), call.file) if count == number else None

    return FaultyFiles(failing)


def dying_at(number: int) -> FaultyFiles:
    """Make files for a process that dies before its n-th call: no later call has an effect."""

    def failing(count: int, call: Call) -> OSError | None:
        return OSError(errno.EIO, "the process is dead", call.file) if count >= number else None

    return FaultyFiles(failing)


_: Files = FaultyFiles()
