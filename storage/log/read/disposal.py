"""Free large dicts that are no longer used, a little at a time.

When a segment is sealed, a process drops a delta of up to 65,536 locators and a cache of as many
entries. Python frees such a dict in one go, in the thread that drops the last reference, and no
other thread runs for these 30 ms. So the dicts are added to a ``Disposal`` instead, which empties
them with pauses.

The number of waiting dicts is bounded: if dicts come faster than they are emptied, the thread that
adds one too many empties the oldest first. It does so item by item, so that other threads run in
between.
"""

from __future__ import annotations

import contextlib
import sys
import threading
import time
import weakref
from collections import deque
from typing import Final, Protocol

_AT_ONCE: Final = 100
"""Items freed between two pauses, for each dict that waits; some 50 µs."""
DICTS_MAX: Final = 8
"""Dicts that may wait. A sealed segment leaves one of locators, and three of a cache."""
_PAUSE_S: Final = 0.001


class Emptied(Protocol):
    """The methods of a dict that are used here."""

    def popitem(self) -> object:
        """Take any item out."""

    def __len__(self) -> int:
        """Return how many items are left."""


class Disposal:
    """Dicts that are to be emptied. Any thread may add to them, one empties them."""

    def __init__(self) -> None:
        self._waiting: deque[Emptied] = deque()

    def add(self, *dicts: Emptied) -> None:
        """Queue dicts that are no longer read, to be emptied later."""
        self._waiting.extend(rows for rows in dicts if rows)
        while len(self._waiting) > DICTS_MAX:
            with contextlib.suppress(IndexError):  # another thread has taken the last one
                _empty(self._waiting.popleft())

    def add_after(self, owner: object, rows: Emptied) -> None:
        """Queue a dict once its owner is gone."""
        weakref.finalize(owner, self.add, rows).atexit = False

    def run(self, closing: threading.Event, duration_s: float) -> bool:
        """Empty the added dicts until the time is up or the event comes.

        Returns:
            Whether the event came.
        """
        until_s = time.monotonic() + duration_s
        while self._waiting and time.monotonic() < until_s:
            self._empty_some()
            if closing.wait(_PAUSE_S):
                return True
        return closing.wait(max(0, until_s - time.monotonic()))

    def _empty_some(self) -> None:
        # A thread that adds one too many may take the oldest dict away meanwhile.
        with contextlib.suppress(IndexError):
            rows = self._waiting[0]
            _empty(rows, _AT_ONCE * len(self._waiting))
            if not rows:
                with contextlib.suppress(ValueError):
                    self._waiting.remove(rows)


def _empty(rows: Emptied, count: int = sys.maxsize) -> None:
    """Take up to ``count`` items out of a dict, which another thread may be emptying, too."""
    with contextlib.suppress(KeyError):
        for _ in range(min(count, len(rows))):
            rows.popitem()
