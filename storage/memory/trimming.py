"""Return freed memory between blocks in use to the system.

malloc itself returns only the free memory at the end of its heap. After 3,000 uploads had broken
off at once, a worker of Granian held 140 MiB more than before, and kept them: small objects that
lived on lay between the freed blocks of the bodies. ``malloc_trim`` returns every free page of the
heap.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

TRIM_BYTES: Final = 16 * 1024 * 1024
"""A trim is worth its time once so much memory has become free since the last one. For 80 to
180 MiB it takes 10 to 30 ms, in which no other thread can allocate."""
_EVERY_S: Final = 2.0
_STATM: Final = Path("/proc/self/statm")
_PAGE_BYTES: Final = os.sysconf("SC_PAGE_SIZE")


class _Mallinfo2(ctypes.Structure):
    """``struct mallinfo2`` of malloc.h."""

    _fields_ = [
        (name, ctypes.c_size_t)
        for name in (
            *("arena", "ordblks", "smblks", "hblks", "hblkhd"),
            *("usmblks", "fsmblks", "uordblks", "fordblks", "keepcost"),
        )
    ]


class Memory(NamedTuple):
    """The memory of a process that it does not share with files.

    Attributes:
        private_bytes: all of it.
        used_bytes: what malloc has handed out.
    """

    private_bytes: int
    used_bytes: int

    @property
    def unused_bytes(self) -> int:
        """Memory that malloc has not handed out."""
        return self.private_bytes - self.used_bytes


class Trimmer:
    """Trims the heap once much of it has become free. For one thread."""

    def __init__(self, memory: Callable[[], Memory], trim: Callable[[], object]) -> None:
        """Look at what ``memory`` returns, and trim with ``trim``."""
        self._memory = memory
        self._trim = trim
        self._least_bytes = memory().unused_bytes

    def look(self) -> None:
        """Trim the heap if much more of it is unused than after it was trimmed.

        Memory that a trim leaves unused has other causes, such as other allocators; or another
        thread has freed it since the trim began, then it is less that is in use.
        """
        before = self._memory()
        if before.unused_bytes - self._least_bytes >= TRIM_BYTES:
            self._trim()
            self._least_bytes = self._memory().private_bytes - before.used_bytes
        self._least_bytes = min(self._least_bytes, self._memory().unused_bytes)


def trim_often() -> None:
    """Trim the heap of this process from now on, if it can be trimmed."""
    trimmer = make_trimmer()
    if trimmer is not None:
        thread = threading.Thread(
            target=_look_often, args=(trimmer,), name="rundlet-trim", daemon=True
        )
        thread.start()


def make_trimmer() -> Trimmer | None:
    """Return a trimmer of this process's heap; None without glibc 2.33 or later."""
    library = ctypes.CDLL(None)  # its calls let other threads run Python
    mallinfo2 = getattr(library, "mallinfo2", None)
    malloc_trim = getattr(library, "malloc_trim", None)
    if mallinfo2 is None or malloc_trim is None:
        return None
    mallinfo2.restype = _Mallinfo2

    def memory() -> Memory:
        info = mallinfo2()
        return Memory(_private_bytes(), int(info.uordblks + info.hblkhd))

    return Trimmer(memory, lambda: malloc_trim(0))


def _private_bytes() -> int:
    """Return the memory of this process that it does not share with files."""
    resident, shared = _STATM.read_text().split()[1:3]
    return (int(resident) - int(shared)) * _PAGE_BYTES


def _look_often(trimmer: Trimmer) -> None:
    while True:
        time.sleep(_EVERY_S)
        with contextlib.suppress(OSError):  # no descriptor is free: later again
            trimmer.look()
