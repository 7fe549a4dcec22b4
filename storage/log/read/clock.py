"""Time that does not go back: what has expired once stays expired when clocks jump."""

from __future__ import annotations

from collections.abc import Callable

from rundlet_server.storage.log.format.commit_page import CommitPage


class SharedClock:
    """The latest of the system's clock and the time any process of the store has acted on."""

    def __init__(self, clock: Callable[[], int], commit_page: CommitPage) -> None:
        self._clock = clock
        self._commit_page = commit_page

    def now_us(self) -> int:
        """Microseconds since the epoch, as of which a value is shown or is not any more."""
        return self._commit_page.advance_clock(self._clock())
