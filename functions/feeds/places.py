"""Places bound the number of requests that wait, because each takes memory or a thread."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Iterator
from typing import Final

from rundlet_server.functions.limits import SET_BY
from rundlet_server.functions.messages.places import TakenPlace
from rundlet_server.functions.problems import Problem
from rundlet_server.storage.counting.counters import SharedCounters
from rundlet_server.storage.forks import listen_for_forks

FEEDS_OPENED: Final = "feeds_opened"
FEEDS_CLOSED: Final = "feeds_closed"
FEEDS_REFUSED: Final = "feeds_refused"
FEED_EVENTS: Final = "feed_events"

_RETRY_AFTER_S: Final = 2


class FeedPlaces:
    """A fixed number of places; any thread may take one, and any thread may release it."""

    def __init__(self, most: int, counters: SharedCounters) -> None:
        self._most = most
        self._counters = counters
        self._begin()
        listen_for_forks(self)

    def _begin(self) -> None:
        # No lock: the garbage collector may release a place in a thread that is taking one.
        self._free = deque([None] * self._most, maxlen=self._most)

    def after_fork(self) -> None:
        """Free all places in a forked child, which has none of the threads that hold them."""
        self._begin()

    def take(self) -> TakenPlace:
        """Take a place.

        Raises:
            Problem: 503 ``too-many-feeds``.
        """
        try:
            self._free.pop()
        except IndexError:
            self._counters.add(FEEDS_REFUSED)
            raise _too_many(self._most) from None
        self._counters.add(FEEDS_OPENED)
        return TakenPlace(self.give_back)

    @contextlib.contextmanager
    def taken(self) -> Iterator[None]:
        """Hold a place within the block."""
        place = self.take()
        try:
            yield
        finally:
            place.give_back()

    def give_back(self) -> None:
        """Release a place."""
        self._free.append(None)  # does nothing if a fork has freed the place
        self._counters.add(FEEDS_CLOSED)


def _too_many(most: int) -> Problem:
    detail = (
        f"the server already serves {most} feeds and other requests that wait, and the limit"
        f" feeds_max is {most}; send the request again later, or raise {SET_BY['feeds_max']} on the"
        " server"
    )
    headers = {"Retry-After": str(_RETRY_AFTER_S)}
    return Problem(503, "too-many-feeds", detail, {"limit": most, "got": most + 1}, headers=headers)
