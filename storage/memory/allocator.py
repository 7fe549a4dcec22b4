"""Limit the freed memory that the C library keeps in this process."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Mapping
from typing import Final

_TRIM_THRESHOLD: Final = -1
_MMAP_THRESHOLD: Final = -3
_ARENA_MAX: Final = -8
"""From malloc.h of glibc."""

_OPTIONS: Final = {
    _MMAP_THRESHOLD: 256 * 1024,
    _TRIM_THRESHOLD: 1024 * 1024,
    _ARENA_MAX: 1,
}
_OWN_OPTIONS: Final = ("MALLOC_", "GLIBC_TUNABLES")

ONE_ARENA: Final = {"GLIBC_TUNABLES": "glibc.malloc.arena_max=1"}
"""Variables for a process in which a library starts threads before ``keep_little_free`` is called.
The first memory that such a thread takes would begin an arena of its own."""


def keep_little_free(environ: Mapping[str, str] = os.environ) -> bool:
    """Return freed memory to the system; call it when a process starts, before its threads.

    By default glibc gives each thread one of sixteen arenas, and once a few MiB were freed at once
    it takes even large blocks from them and keeps up to 64 MiB free at the end of each. Small
    blocks live on between the large ones, so the free memory grows: after ten minutes of large
    answers in 32 threads a process had 15 MiB in use and 85 MiB free. With one arena and blocks
    from 256 KiB on mapped by themselves, 2 MiB are free. The threads do not wait for each other:
    Python's lock lets one of them allocate at a time. Rejected: ``malloc_trim`` every ten seconds
    alone, which returned little. ``trimming`` calls it for the memory that a burst leaves behind.

    Returns:
        Whether it has been done: not without glibc, nor if the user has set options for malloc.
    """
    if has_own_options(environ):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    return mallopt is not None and all(mallopt(*option) for option in _OPTIONS.items())


def has_own_options(environ: Mapping[str, str]) -> bool:
    """Return whether the user has set options for malloc."""
    return any(
        name.startswith(_OWN_OPTIONS) and ONE_ARENA.get(name) != value
        for name, value in environ.items()
    )
