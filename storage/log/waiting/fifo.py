"""The FIFOs of the processes that wait, and the folder that they are in.

The owner opens its FIFO for reading and writing, so a read never reports the end of the file. If
the owner dies, the kernel closes the FIFO. A writer that opens it then gets an error, because it
has no reader, and removes the name. The names are never used again.

The word ``CommitPage.waiters`` says whether there may be waiters, and changes with every newcomer,
so that a writer knows when it has to look for new names. The lock file of the folder protects it:

* a newcomer takes the lock, makes its FIFO, gives it the final name, and changes the word;
* a process resets the word to "no waiters" only if it finds the folder empty while it holds the
  lock. So the word never says this while a FIFO is in use.

No writer ever blocks on that lock.
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from rundlet_server.storage.files import Files
from rundlet_server.storage.forks import listen_for_forks
from rundlet_server.storage.log.format.commit_page import CommitPage
from rundlet_server.storage.log.owner import give_to_owner

FOLDER_NAME: Final = "waiters"
LOCK_NAME: Final = "LOCK"
SUFFIX: Final = ".fifo"

_LOCK_TIMEOUT_S: Final = 0.05
_LOCK_PAUSE_S: Final = 0.005
_READ_SIZE: Final = 64 * 1024
"""The capacity of a FIFO on Linux."""
_A_BYTE: Final = b"\n"


class WaitersFolder:
    """The FIFOs of all processes that wait for commits of one store."""

    def __init__(self, files: Files, folder: Path, commit_page: CommitPage) -> None:
        self._files = files
        self._path = folder / FOLDER_NAME
        self._commit_page = commit_page

    def open(self) -> WakeupFifo:
        """Make a FIFO that gets a byte with every commit from now on.

        Look at the head after this call: earlier commits left no byte.

        Raises:
            OSError: no FIFO can be made here.
        """
        if self._commit_page.is_read_only:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(self._path))
        if not self._path.is_dir():
            self._path.mkdir(mode=0o700, exist_ok=True)
            give_to_owner(self._path)
        with self._locked(_LOCK_TIMEOUT_S) as is_ours:
            if not is_ours:
                raise OSError(errno.EAGAIN, "another process holds the lock", str(self._path))
            self._remove_dead()
            fifo = self._made(self._path / f"{os.getpid()}-{uuid.uuid4().hex}{SUFFIX}")
            self._commit_page.waiters = (self._commit_page.waiters | 1) + 2
        return fifo

    @property
    def has_waiters(self) -> bool:
        """Whether the commit page says that there may be waiters."""
        return self._commit_page.waiters & 1 == 1

    def names(self) -> list[str]:
        """Return the names of the FIFOs; one that has just come may be missing."""
        try:
            return [name for name in os.listdir(self._path) if name.endswith(SUFFIX)]
        except FileNotFoundError:
            return []

    def open_for_writing(self, name: str) -> int | None:
        """Return a descriptor of a FIFO; if its owner is dead, remove its name and return ``None``.

        Raises:
            OSError: it cannot be opened now.
        """
        path = self._path / name
        try:
            return os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        except OSError as ex:
            if ex.errno != errno.ENXIO:
                raise
        self.remove(name)
        return None

    def remove(self, name: str) -> None:
        """Remove the name of a FIFO whose owner does not wait any more."""
        with contextlib.suppress(OSError):
            (self._path / name).unlink(missing_ok=True)

    def retire(self, *, timeout_s: float = 0) -> None:
        """Reset the word to "no waiters", if there are none and the lock is free."""
        if not self.has_waiters:
            return
        with contextlib.suppress(OSError), self._locked(timeout_s) as is_ours:
            if is_ours and not self.names():
                self._commit_page.waiters &= ~1

    def _made(self, path: Path) -> WakeupFifo:
        """Make a FIFO; the caller holds the lock, or another newcomer removes it as half made.

        It has another name until it is open, because a writer removes a FIFO without a reader.
        """
        hidden = path.with_suffix(".new")
        os.mkfifo(hidden, 0o600)
        with contextlib.ExitStack() as undo:
            undo.callback(hidden.unlink, missing_ok=True)
            give_to_owner(hidden)
            descriptor = os.open(hidden, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
            undo.callback(os.close, descriptor)
            hidden.rename(path)
            undo.pop_all()
        return WakeupFifo(self, path, descriptor)

    def _remove_dead(self) -> None:
        """Remove every FIFO without a reader, and half-made ones that a dead process left."""
        for name in os.listdir(self._path):
            if name == LOCK_NAME:
                continue
            with contextlib.suppress(OSError):
                descriptor = self.open_for_writing(name)
                if descriptor is not None:
                    os.close(descriptor)

    @contextlib.contextmanager
    def _locked(self, timeout_s: float) -> Iterator[bool]:
        """Hold the lock of the folder; yield false if another process does not release it."""
        file = self._files.open(self._path / LOCK_NAME, create=True)
        try:
            ends_s = time.monotonic() + timeout_s
            while not (is_ours := file.lock(wait=False)) and time.monotonic() < ends_s:
                time.sleep(_LOCK_PAUSE_S)
            yield is_ours
        finally:
            file.close()  # this releases the lock


class WakeupFifo:
    """The FIFO of one process; its descriptor is readable after a commit. One thread uses it."""

    def __init__(self, folder: WaitersFolder, path: Path, descriptor: int) -> None:
        self._folder = folder
        self._path = path
        self._descriptor = descriptor
        listen_for_forks(self)

    def fileno(self) -> int:
        """Return the descriptor: wait until it is readable, then call ``clear``, then look."""
        return self._descriptor

    def wait(self, timeout_s: float) -> None:
        """Wait for a byte, and clear."""
        poll = select.poll()
        poll.register(self._descriptor, select.POLLIN)
        poll.poll(timeout_s * 1_000)
        self.clear()

    def clear(self) -> None:
        """Take all bytes out."""
        with contextlib.suppress(BlockingIOError):
            while len(os.read(self._descriptor, _READ_SIZE)) == _READ_SIZE:
                pass

    def ring(self) -> None:
        """Write a byte into it; any thread may do so."""
        with contextlib.suppress(OSError):
            os.write(self._descriptor, _A_BYTE)

    @property
    def is_known(self) -> bool:
        """Whether writers find it; false if its name was removed or the word was reset."""
        return self._folder.has_waiters and self._path.exists()

    def close(self) -> None:
        """Remove the FIFO; a second call does no harm."""
        if self._descriptor < 0:
            return
        self._folder.remove(self._path.name)
        self._close()
        self._folder.retire(timeout_s=_LOCK_TIMEOUT_S)

    def after_fork(self) -> None:
        """Close the child's copy: else the FIFO would live on when its owner has died."""
        self._close()

    def _close(self) -> None:
        descriptor, self._descriptor = self._descriptor, -1
        with contextlib.suppress(OSError):
            os.close(descriptor)
