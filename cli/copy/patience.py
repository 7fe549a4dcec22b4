"""Retries work after a restart of a server or a short failure of the network."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Final

from rundlet import ConnectionFailed, OutcomeUnknown, Unavailable
from rundlet_server.cli.exits import message_of
from rundlet_server.cli.show.terminal import escaped
from rundlet_server.storage import errors

PASSING: Final = (
    *(ConnectionFailed, OutcomeUnknown, Unavailable),
    *(errors.Unavailable, errors.OutcomeUnknown),
)
"""Errors that may be over in a moment. Every step of a copy may be repeated, so an unknown outcome
is not worse than a failure."""
_PAUSE_S: Final = 0.5
_PAUSE_MAX_S: Final = 5.0


def patiently(
    work: Callable[[], None], how_far: Callable[[], object], *, patience_s: float
) -> None:
    """Run work that resumes where it was, with retries until it is done.

    Args:
        work: the work.
        how_far: returns the progress of the work, which changes with each step.
        patience_s: give up after so many seconds without progress.

    Raises:
        RundletError, StoreError: ``work`` fails for longer, or with an error that is not temporary.
    """
    reached, since_s, pause_s = how_far(), time.monotonic(), _PAUSE_S
    while True:
        try:
            work()
        except PASSING as ex:
            if how_far() != reached:
                reached, since_s, pause_s = how_far(), time.monotonic(), _PAUSE_S
            is_full = isinstance(ex, errors.DiskFull)
            if is_full or time.monotonic() - since_s > patience_s:
                raise
            sys.stderr.write(f"{escaped(f'rundlet: trying again: {message_of(ex)}')}\n")
            time.sleep(pause_s)
            pause_s = min(2 * pause_s, _PAUSE_MAX_S)
        else:
            return
