"""The files behind ``counters``: rows of words, each with a name, in memory that processes share.

A file is ``ROWS_PER_FILE`` rows, filled from the first on, each::

    +---------------+-----------+---------------------+
    | name size (8) | name (64) | words (23 times 8)  |  256 bytes
    +---------------+-----------+---------------------+

Words are written as aligned native integers through ``memoryview.cast``, so that a reader in
another process never sees half of one. The size of a name is written after the name.

A process holds a lock (``flock``) on its first file as long as it lives: that shows which processes
are alive without comparing process ids. It locks another descriptor than the one that it maps, so
that a forked child can release it (``storage.forks``).

Files are called ``ROLE-PID-STARTED-RANDOM.counts``.
"""

from __future__ import annotations

import contextlib
import fcntl
import mmap
import os
import secrets
import threading
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Literal, NamedTuple

from rundlet_server.storage.clock import system_clock_us

Row = memoryview  # of 64-bit words
Name = str | tuple[str, ...]  # the words of a tuple are joined by spaces
Role = Literal["worker", "maintenance"]

WORDS: Final = 23
ROWS_PER_FILE: Final = 64
SUFFIX: Final = ".counts"

_NAME_SIZE: Final = 64
_ROW_SIZE: Final = 8 + _NAME_SIZE + WORDS * 8  # whole cache lines: threads do not slow each other
_ROW_WORDS: Final = _ROW_SIZE // 8
_FIRST_WORD: Final = _ROW_WORDS - WORDS
_FILE_SIZE: Final = ROWS_PER_FILE * _ROW_SIZE


class CountingProcess(NamedTuple):
    """A process that counts; ``started_us`` in microseconds since the epoch."""

    role: Role
    pid: int
    started_us: int


class RowPool:
    """The rows of one process. A row belongs to one thread at a time.

    Attributes:
        started_us: when it was made, in microseconds since the epoch.
    """

    def __init__(self, directory: Path | None, role: Role) -> None:
        self.started_us = system_clock_us()
        self._directory = directory
        self._role = role
        # Reentrant: the garbage collector may free a feed, which counts, in a thread that claims.
        self._lock = threading.RLock()
        self._returned: dict[str, deque[Row]] = {}
        self._private: list[tuple[str, Row]] = []
        self._blank: deque[Row] = deque()
        self._life = -1
        if directory is not None:
            self._life = self._add_file(is_first=True)

    def claim(self, name: str) -> Row:
        """Return a row for a thread; a row of an ended thread keeps its counts and is used again.

        If the disk has no space for another file, the row is in private memory: then only this
        process reports its counts.
        """
        try:
            return self._returned[name].popleft()
        except (KeyError, IndexError):
            pass
        with self._lock:
            if not self._blank and self._directory is not None:
                with contextlib.suppress(OSError):
                    self._add_file()
            with contextlib.suppress(IndexError):
                return _name_row(self._blank.popleft(), name)
            row = memoryview(bytearray(WORDS * 8)).cast("Q")
            self._private.append((name, row))
            return row

    def take_back(self, rows: dict[Name, Row]) -> None:
        """Take the rows of a thread that ends; without a lock, as this may run at any moment."""
        for name, row in rows.items():
            self._returned.setdefault(_text_of(name), deque()).append(row)

    def private_rows(self) -> Iterator[tuple[str, list[int]]]:
        """Yield the rows that are in no file."""
        for name, row in self._private[:]:
            yield name, row.tolist()

    def release(self) -> None:
        """Release the lock that shows this process as alive; after a fork the parent keeps it."""
        if self._life >= 0:
            os.close(self._life)
            self._life = -1

    def __del__(self) -> None:
        self.release()

    def _add_file(self, *, is_first: bool = False) -> int:
        """Create a file and offer its rows; lock the first one, and return the lock's descriptor.

        The zeros are written, not left as a hole: then a full disk is an ``OSError`` here instead
        of a signal that kills the process when it touches a mapped page.
        """
        assert self._directory is not None
        name = f"{self._role}-{os.getpid()}-{self.started_us}-{secrets.token_hex(4)}{SUFFIX}"
        path = self._directory / name
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        descriptor = os.open(path, flags, 0o600)
        life = -1
        try:
            if is_first:
                life = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
                fcntl.flock(life, fcntl.LOCK_EX)
            if os.write(descriptor, bytes(_FILE_SIZE)) != _FILE_SIZE:
                raise OSError(f"there is no space for the counters in {self._directory}")
            words = memoryview(mmap.mmap(descriptor, _FILE_SIZE)).cast("Q")
        except OSError:
            if life >= 0:
                os.close(life)
            path.unlink(missing_ok=True)
            raise
        finally:
            os.close(descriptor)
        self._blank.extend(words[i : i + _ROW_WORDS] for i in range(0, len(words), _ROW_WORDS))
        return life


class ThreadRows(dict[Name, Row]):
    """The rows of one thread: claimed when first used, returned when the thread ends."""

    def __init__(self, pool: RowPool) -> None:
        super().__init__()
        self._pool = pool

    def __missing__(self, name: Name) -> Row:
        row = self[name] = self._pool.claim(_text_of(name))
        return row

    def __del__(self) -> None:
        self._pool.take_back(self)


def _text_of(name: Name) -> str:
    return name if isinstance(name, str) else " ".join(name)


def _name_row(row: Row, name: str) -> Row:
    """Write the name of a row, as far as it fits, and return the row's words."""
    encoded = name.encode()[:_NAME_SIZE]
    row.cast("B")[8 : 8 + len(encoded)] = encoded
    row[0] = len(encoded)  # from here on readers see the row
    return row[_FIRST_WORD:]


def rows_of_file(path: Path) -> Iterator[tuple[str, list[int]]]:
    """Yield the rows of a file in use; mapped, because ``read`` may tear a word."""
    with path.open("rb") as file:
        if os.fstat(file.fileno()).st_size < _FILE_SIZE:
            return  # being created: nothing is counted there yet
        with mmap.mmap(file.fileno(), _FILE_SIZE, access=mmap.ACCESS_READ) as content:
            yield from _rows_of(content)


def _rows_of(content: mmap.mmap) -> Iterator[tuple[str, list[int]]]:
    with memoryview(content) as view, view.cast("Q") as words:
        for start in range(0, len(words), _ROW_WORDS):
            name_size = words[start]
            if not name_size:
                return
            name = content[start * 8 + 8 : start * 8 + 8 + name_size].decode(errors="replace")
            yield name, words[start + _FIRST_WORD : start + _ROW_WORDS].tolist()


def is_alive(path: Path) -> bool:
    """Return whether a file is the first of a process that is alive."""
    with path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        return False


def process_of(path: Path) -> CountingProcess:
    """Return the process that made a file."""
    role, pid, started_us, _ = path.name.split("-")
    return CountingProcess(
        "maintenance" if role == "maintenance" else "worker", int(pid), int(started_us)
    )
