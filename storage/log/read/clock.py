"""Time that does not go back: a value that has expired stays expired if a clock is set back."""

from __future__ import annotations

from collections.abc import Callable

from rundlet_server.storage.log.format.commit_page import CommitPage


class SharedClock:
    """The later of the system's clock and the time that any process of the store has acted on."""

    def __init__(self, clock: Callable[[], int], commit_page: CommitPage) -> None:
        self._clock = clock
        self._commit_page = commit_page

    def ahead_s(self) -> float:
        """Return how many seconds the store's time is ahead of the system's clock; 0 if it is not.

        If the system's clock was set too far ahead for a moment, the store's time stays there:
        until the clock has caught up, the time stands still, and no key expires.
        """
        return max(0.0, (self._commit_page.clock_us - self._clock()) / 1e6)

    def now_us(self) -> int:
        """Return the time that decides what has expired, in microseconds since the epoch."""
        return self._commit_page.advance_clock(self._clock())
