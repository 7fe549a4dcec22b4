"""Control how often Python's garbage collector looks at all objects."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator
from typing import Final

_THRESHOLDS: Final = (700, 10, 1_000)
"""Python's own for young objects; but a full collection only after a thousand collections of the
middle generation instead of ten."""


def relax_collector() -> None:
    """Make full collections rare in this process; call it when one that opens a store starts.

    Records without an index file, and cached values, are some hundred thousand tuples that live
    long and never form reference cycles. By default a full collection looks at all of them whenever
    they have become a quarter more: while 200,000 values were written and 100,000 read, that made
    12 pauses of up to 63 ms, a sixth of the processor time.
    """
    gc.set_threshold(*_THRESHOLDS)


@contextlib.contextmanager
def paused_collector() -> Iterator[None]:
    """Pause the collector while a loop makes many objects that all stay.

    It would look at all of them again and again, and find nothing: that is half of the time that a
    replay takes. If two threads do this at once, the first to end enables the collector for both.
    """
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
