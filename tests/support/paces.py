"""Tests of durations that a busy machine may miss: tried again with longer ones."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Final

import pytest

PACES: Final = (1, 5, 25)


def at_some_pace(attempt: Callable[[int], None]) -> None:
    """Call a test with the factor of its durations: 1, and larger ones if it fails.

    A machine that holds up the test, or the server, for longer than a duration makes it fail at the
    first pace. A fault makes it fail at each.
    """
    *first, last = PACES
    for pace in first:
        with contextlib.suppress(Exception, pytest.fail.Exception):
            attempt(pace)
            return
    attempt(last)
