"""Read from a file what the system has in memory, and never wait for a disk.

A read from a slow disk may take 100 ms. An event loop must not wait for it: the loop reads what is
in memory, and a thread reads the rest.
"""

from __future__ import annotations

import errno
import os
from typing import Final

from rundlet_server.storage.files import File, RealFile

_NO_WAIT: Final = getattr(os, "RWF_NOWAIT", 0)
_UNKNOWN: Final = (errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL)


def read_cached(file: File, size: int, offset: int) -> bytes:
    """Return ``size`` bytes at ``offset``.

    Only Linux can tell, and not for every file system; elsewhere this waits for the disk as every
    read does.

    Raises:
        BlockingIOError: not all of them are in memory.
    """
    if not _NO_WAIT or type(file) is not RealFile:
        return file.pread(size, offset)
    data = bytearray(size)
    try:
        count = os.preadv(file.fileno(), [data], offset, _NO_WAIT)
    except OSError as ex:
        if ex.errno in _UNKNOWN:
            return file.pread(size, offset)
        raise
    if count < size:
        raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
    return bytes(data)
