"""A disk that loses unsynced data when the power fails.

The files are real, in a folder of their own, so that they can be mapped. For each file the disk
also keeps the durable content and the changes since. ``crashed`` makes one of the states that a
power cut may leave; POSIX allows each of these effects:

* of an unsynced write, any subset of its 512-byte sectors may have reached the medium;
* the same is true for each change of the size; a sector below the size that was never written
  reads as zeros;
* until the folder is synced, a created, replaced or removed name may be in its old or its new
  state, whether or not the file was synced; of several such changes, any subset may be there;
* a mapped page may be in any state that it had since it was mapped;
* after a failed sync, the data it should have written may be there or not, and no later sync
  changes that, although reads return the data: this is how kernels behave.
"""

from __future__ import annotations

import errno
import mmap
import os
import random
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, Literal

from rundlet_server.storage.files import Buffer, File, RealFiles
from tests.support.disks.unsynced_files import UnsyncedFiles

SECTOR_SIZE: Final = 512
Mode = Literal["nothing", "everything", "prefix", "any"]
MODES: Final[tuple[Mode, ...]] = ("nothing", "everything", "prefix", "any")

_Write = tuple[int, bytes]
"""Offset and bytes, within one sector."""


class _Inode:
    """A file, independent of its name. A thread may sync it while another one writes.

    Attributes:
        durable: its content on the medium.
        changes: the changes since then: writes, each as its sectors, and new sizes.
        pages: the past states of a mapped page; empty for a file that is not mapped for writing.
    """

    def __init__(self) -> None:
        self.durable = b""
        self.changes: list[list[_Write] | int] = []
        self.pages: list[bytes] = []
        self._lock = threading.Lock()  # so that no change comes between the two lines of a sync

    def written(self, offset: int, data: bytes) -> None:
        sectors = []
        position = 0
        while position < len(data):
            end = SECTOR_SIZE - (offset + position) % SECTOR_SIZE + position
            sectors.append((offset + position, data[position:end]))
            position = end
        with self._lock:
            self.changes.append(sectors)

    def truncated(self, size: int) -> None:
        with self._lock:
            self.changes.append(size)

    def synced(self) -> None:
        with self._lock:
            self.durable = _applied(self.durable, self.changes)
            self.changes = []

    def sync_failed(self, choice: random.Random) -> None:
        with self._lock:
            self.durable = self._any(choice)
            self.changes = []

    def crashed(self, mode: Mode, choice: random.Random) -> bytes:
        with self._lock:
            return self._crashed(mode, choice)

    def _crashed(self, mode: Mode, choice: random.Random) -> bytes:
        if self.pages:
            if mode == "everything":
                return self.pages[-1]
            return choice.choice([self.durable, *self.pages])
        match mode:
            case "nothing":
                return self.durable
            case "everything":
                return _applied(self.durable, self.changes)
            case "prefix":
                kept = self.changes[: choice.randint(0, len(self.changes))]
                return _applied(self.durable, kept)
            case "any":
                return self._any(choice)

    def _any(self, choice: random.Random) -> bytes:
        sizes = [len(self.durable)]
        kept: list[list[_Write] | int] = []
        for change in self.changes:
            if isinstance(change, int):
                sizes.append(change)
                continue
            sizes.append(max([sizes[-1], *(offset + len(data) for offset, data in change)]))
            kept.append([sector for sector in change if choice.random() < 0.5])
        size = choice.choice(sizes)
        return _applied(self.durable, [*kept, size])


def _applied(content: bytes, changes: Sequence[list[_Write] | int]) -> bytes:
    changed = bytearray(content)
    for change in changes:
        if isinstance(change, int):
            changed = changed[:change].ljust(change, b"\0")
            continue
        for offset, data in change:
            if len(changed) < offset:
                changed = changed.ljust(offset, b"\0")
            changed[offset : offset + len(data)] = data
    return bytes(changed)


class SimulatedDisk(RealFiles):
    """One folder on such a disk.

    Attributes:
        folder: its path.
        operations: the number of operations so far that change something, or sync.
    """

    def __init__(
        self, folder: Path, *, on_operation: Callable[[SimulatedDisk], None] | None = None
    ) -> None:
        """Begin with the content of the folder, if it exists, as durable.

        Args:
            folder: the only folder in which files may be made.
            on_operation: called before each operation; a power cut can happen there.
        """
        self.folder = folder
        self._on_operation = on_operation
        self._real = UnsyncedFiles()
        self.operations = 0
        self._now: dict[str, _Inode] = {}
        if folder.exists():
            for path in folder.iterdir():
                inode = _Inode()
                inode.durable = path.read_bytes()
                self._now[path.name] = inode
        self._durable = dict(self._now)
        self._changes: list[tuple[str | None, str | None, _Inode | None]] = []

    def crashed(self, mode: Mode, choice: random.Random) -> dict[str, bytes]:
        """Return a state that a power cut may leave now: contents by name."""
        self.look_at_pages()
        names = dict(self._durable)
        changes = self._changes
        if mode == "nothing":
            changes = []
        elif mode == "prefix":
            changes = changes[: choice.randint(0, len(changes))]
        elif mode == "any":
            changes = [change for change in changes if choice.random() < 0.5]
        for removed, made, inode in changes:
            if removed is not None:
                names.pop(removed, None)
            if made is not None and inode is not None:
                names[made] = inode
        return {name: inode.crashed(mode, choice) for name, inode in names.items()}

    def operation(self) -> None:
        """Count an operation that is about to change something."""
        self.operations += 1
        self.look_at_pages()
        if self._on_operation is not None:
            self._on_operation(self)

    def open(self, path: Path, *, create: bool = False, writable: bool = True) -> File:
        self._check(path)
        if create and path.name not in self._now:
            self.operation()
            inode = _Inode()
            self._now[path.name] = inode
            self._changes.append((None, path.name, inode))
        file = self._real.open(path, create=create, writable=writable)
        try:
            return SimulatedFile(self, file, self._now[path.name])
        except KeyError as ex:  # another thread has just removed it
            file.close()
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path)) from ex

    def rename(self, source: Path, target: Path) -> None:
        self._check(target)
        self.operation()
        inode = self._now.pop(source.name)
        self._now[target.name] = inode
        self._changes.append((source.name, target.name, inode))
        self._real.rename(source, target)

    def unlink(self, path: Path) -> None:
        self._check(path)
        if path.name not in self._now:
            return
        self.operation()
        del self._now[path.name]
        self._changes.append((path.name, None, None))
        self._real.unlink(path)

    def sync_folder(self, path: Path) -> None:
        self.operation()
        if path != self.folder:
            return  # the folder that this one is in: that it exists is taken for granted
        self._durable = dict(self._now)
        self._changes = []

    def _check(self, path: Path) -> None:
        assert path.parent == self.folder

    def look_at_pages(self) -> None:
        """Record the present state of mapped pages, because a power cut may leave it."""
        for name, inode in list(self._now.items()):  # threads make files meanwhile
            if inode.pages:
                page = (self.folder / name).read_bytes()
                if page != inode.pages[-1]:
                    inode.pages.append(page)


class SimulatedFile:
    """A file of a ``SimulatedDisk``."""

    def __init__(self, disk: SimulatedDisk, file: File, inode: _Inode) -> None:
        self._disk = disk
        self._file = file
        self._inode = inode
        self.pread = file.pread
        self.size = file.size
        self.identity = file.identity
        self.lock = file.lock
        self.unlock = file.unlock
        self.close = file.close

    def pwrite(self, buffers: Sequence[Buffer], offset: int) -> None:
        self._disk.operation()
        self._inode.written(offset, b"".join(buffers))
        self._file.pwrite(buffers, offset)

    def sync(self) -> None:
        self._disk.operation()
        self._inode.synced()

    def forget(self, choice: random.Random) -> None:
        """After a failed sync, put some of the unsynced data on the medium; the rest is lost."""
        self._inode.sync_failed(choice)

    def truncate(self, size: int) -> None:
        self._disk.operation()
        self._inode.truncated(size)
        self._file.truncate(size)

    def map(self, size: int, *, writable: bool = False) -> mmap.mmap:
        mapped = self._file.map(size, writable=writable)
        if writable and not self._inode.pages:
            self._inode.pages.append(mapped[:])
        return mapped


def laid_out(state: dict[str, bytes], folder: Path) -> Path:
    """Make a folder with a state in it."""
    folder.mkdir()
    for name, content in state.items():
        (folder / name).write_bytes(content)
    return folder
