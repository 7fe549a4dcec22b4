"""The time that decides what has expired: this machine's clock, which never goes back here."""

from __future__ import annotations

import threading
from collections.abc import Callable


class StoreClock:
    """The later of the clock and of all times that this process has seen in the store.

    Commits keep their time in the database, so it does not go back behind them anywhere.
    """

    def __init__(self, clock: Callable[[], int]) -> None:
        self._clock = clock
        self._floor_us = 0
        self._lock = threading.Lock()

    def now_us(self, seen_us: int = 0) -> int:
        """Return the time in microseconds, at least ``seen_us`` from now on."""
        with self._lock:
            self._floor_us = max(self._floor_us, seen_us, self._clock())
            return self._floor_us

    def ahead_s(self, time_us: int) -> float:
        """Return how many seconds a time is ahead of this machine's clock; 0 if it is not."""
        return max(0.0, (time_us - self._clock()) / 1e6)
