"""Frees what nobody uses any more a little at a time.

When a segment is sealed, a process lets go of a delta of up to 65,536 locators and of a cache of as
many entries. Python frees a dict of them in one go, in whichever thread held it last, and no other
thread runs for these 30 ms. So they are handed over instead, and emptied between pauses.
"""

from __future__ import annotations

import threading
import time
import weakref
from collections import deque
from typing import Final, Protocol

_AT_ONCE: Final = 100
"""Items freed between two pauses; some 50 µs."""
_PAUSE_S: Final = 0.001


class Emptied(Protocol):
    """What a dict can do that matters here."""

    def popitem(self) -> object:
        """Take any item out."""

    def __len__(self) -> int:
        """How many are left."""


class Disposal:
    """Dicts that are to be emptied. Any thread may add to them, one empties them."""

    def __init__(self) -> None:
        self._waiting: deque[Emptied] = deque()

    def add(self, *dicts: Emptied) -> None:
        """Take over dicts that nobody minds to see emptied."""
        self._waiting.extend(dicts)

    def follow(self, owner: object, rows: Emptied) -> None:
        """Take over a dict once its owner is gone."""
        weakref.finalize(owner, self.add, rows).atexit = False

    def run(self, closing: threading.Event, duration_s: float) -> bool:
        """Wait so long, or until an event, and empty meanwhile what was handed over.

        Returns:
            Whether it was the event.
        """
        until_s = time.monotonic() + duration_s
        while self._waiting and time.monotonic() < until_s:
            self._empty_some()
            if closing.wait(_PAUSE_S):
                return True
        return closing.wait(max(0, until_s - time.monotonic()))

    def _empty_some(self) -> None:
        rows = self._waiting[0]
        for _ in range(min(_AT_ONCE, len(rows))):
            rows.popitem()
        if not rows:
            self._waiting.popleft()
