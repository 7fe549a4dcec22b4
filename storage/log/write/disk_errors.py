"""The errors that a caller gets when the disk fails a write."""

from __future__ import annotations

import errno
from typing import Final

from rundlet_server.storage.errors import DiskFull, Unavailable

_NO_SPACE: Final = (errno.ENOSPC, errno.EDQUOT)


def not_applied(cause: OSError) -> Unavailable:
    """Return the error for a write that was certainly not applied."""
    if cause.errno in _NO_SPACE:
        return DiskFull("no space is left on the device; the write was not applied")
    if cause.errno == errno.EFBIG:
        return Unavailable("a file may not grow that large (ulimit -f); nothing was applied")
    return Unavailable(f"the disk failed ({cause.strerror}); the write was not applied")


def outcome_unknown(step: str, cause: OSError) -> str:
    """Return the text of an ``OutcomeUnknown`` after a step that failed."""
    return f"the disk failed while {step} ({cause}); read before you try again"
