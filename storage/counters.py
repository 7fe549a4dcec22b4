"""Exact counts over all threads and processes of one server life.

Each process has files of its own in one folder, each thread a slot in one of them, so counting
takes no lock and shares no cache line; ``totals`` sums the slots of every file. Files outlive
their process: what a worker counted stays counted after it died.

A file is ``_SLOTS_PER_FILE`` slots, each::

    +---------+---------+------------+------------------------+------------+
    | get (8) | set (8) | delete (8) | refused_... (4 times 8) | unused (8) |  64 bytes
    +---------+---------+------------+------------------------+------------+

Words are written as aligned native integers through ``memoryview.cast``, so that a reader in
another process never sees half of one.
"""

from __future__ import annotations

import mmap
import os
import secrets
import sys
import threading
import weakref
from collections import deque
from pathlib import Path
from typing import Final, Literal, get_args

CountedKind = Literal[
    "get",
    "set",
    "delete",
    "refused_missing",
    "refused_unknown",
    "refused_expired",
    "refused_forbidden",
]

_WORD_OF_KIND: Final[dict[CountedKind, int]] = {
    kind: word for word, kind in enumerate(get_args(CountedKind))
}
_WORDS_PER_SLOT: Final = 8  # a cache line, so that threads do not slow each other down
_SLOTS_PER_FILE: Final = 64
_FILE_SIZE: Final = _SLOTS_PER_FILE * _WORDS_PER_SLOT * 8
_SUFFIX: Final = ".counts"


class OperationCounters:
    """Counts operations; every process of a server makes one on the same folder.

    All methods may be called from any thread. An object may be carried through ``fork``.
    """

    def __init__(self, directory: Path) -> None:
        """Join the counting in ``directory``, which is made if missing.

        Its parent is not: where that is gone, so is the server that the counts would be of.

        Raises:
            OSError: the folder cannot be written or is full; later calls do not fail.
        """
        self._directory = directory
        directory.mkdir(exist_ok=True)
        self._lock = threading.Lock()
        self._begin()
        _begin_again_after_fork(self)

    def add(self, kind: CountedKind, count: int = 1) -> None:
        """Count ``count`` operations of a kind; about 0.1 µs."""
        try:
            words = self._own.words
        except AttributeError:
            words = self._claim_slot()
            if words is None:
                self._add_shared(kind, count)
                return
        words[_WORD_OF_KIND[kind]] += count

    def totals(self) -> dict[CountedKind, int]:
        """How many operations of each kind all processes counted so far."""
        totals = dict.fromkeys(_WORD_OF_KIND, 0)
        for path in self._directory.glob(f"*{_SUFFIX}"):
            with path.open("rb") as file:
                if os.fstat(file.fileno()).st_size < _FILE_SIZE:
                    continue  # being created: nothing is counted there yet
                with mmap.mmap(file.fileno(), _FILE_SIZE, access=mmap.ACCESS_READ) as content:
                    _add_slots(totals, content)
        return totals

    def _begin(self) -> None:
        """Start with a new file, whose slot 0 is for threads that can get none of their own."""
        self._own = threading.local()
        self._free: deque[memoryview[int]] = deque()
        self._shared = self._add_file()

    def _add_file(self) -> memoryview[int]:
        """Create a file, offer all its slots but the first as free, and give the first.

        The zeros are written, not left as a hole: a full disk is an ``OSError`` here instead
        of a signal that ends the process when a mapped page is touched.
        """
        name = f"{os.getpid()}-{secrets.token_hex(4)}"
        path = self._directory / f"{name}{_SUFFIX}"
        with path.open("x+b", buffering=0) as file:
            if file.write(bytes(_FILE_SIZE)) != _FILE_SIZE:
                raise OSError(f"no space for the operation counters in {self._directory}")
            words = memoryview(mmap.mmap(file.fileno(), _FILE_SIZE)).cast("Q")
        slots = [words[i : i + _WORDS_PER_SLOT] for i in range(0, len(words), _WORDS_PER_SLOT)]
        self._free.extend(slots[1:])
        return slots[0]

    def _claim_slot(self) -> memoryview[int] | None:
        """Give the calling thread a slot; ``None`` where the disk has no room for another file.

        A slot goes back when its thread ends, with its counts in it: the next thread adds to them.
        """
        with self._lock:
            try:
                if not self._free:
                    self._free.append(self._add_file())
            except OSError:
                return None
            slot = self._free.popleft()
        self._own.lease = _Lease(slot, self._free)
        self._own.words = slot
        return slot

    def _add_shared(self, kind: CountedKind, count: int) -> None:
        with self._lock:
            self._shared[_WORD_OF_KIND[kind]] += count


def _add_slots(totals: dict[CountedKind, int], content: mmap.mmap) -> None:
    """Add what all slots of a mapped file hold; mapped, because ``read`` may tear a word."""
    with memoryview(content) as view, view.cast("Q") as words:
        for kind, word in _WORD_OF_KIND.items():
            totals[kind] += sum(words[i] for i in range(word, len(words), _WORDS_PER_SLOT))


class _Lease:
    """Lives as long as a thread (in its ``threading.local``) and gives its slot back at the end."""

    def __init__(self, slot: memoryview[int], free: deque[memoryview[int]]) -> None:
        self._slot = slot
        self._free = free

    def __del__(self) -> None:
        self._free.append(self._slot)  # atomic: no lock, for this may run at any moment


def _begin_again_after_fork(counters: OperationCounters) -> None:
    """Give a forked child its own file: two processes must not write one slot.

    Holds the counters weakly, for a fork handler cannot be taken back.
    """
    counters_ref = weakref.ref(counters)

    def begin_again() -> None:
        counters = counters_ref()
        if counters is not None:
            counters._lock = threading.Lock()  # a thread that is not in the child may hold it
            counters._begin()

    if sys.platform != "win32":
        os.register_at_fork(after_in_child=begin_again)
