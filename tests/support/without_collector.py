"""Find objects that only the garbage collector frees, which happens late."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator


@contextlib.contextmanager
def without_collector() -> Iterator[None]:
    """What holds on to itself, in a circle, is not let go of meanwhile."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
