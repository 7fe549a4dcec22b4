"""When to stop starting workers again: not when they die, only when they never come up."""

from __future__ import annotations

import multiprocessing
from typing import Final, Protocol

_FAILURES_MAX: Final = 5


class Shared(Protocol):
    """A number in memory that processes share."""

    value: int


class Respawns(dict[int, float]):
    """Granian's note of when it started which worker again, read by it as soon as one ends.

    Granian 2.8 gives up when a worker ends within 5.5 s of that. So two kills of one worker in
    a row (by hand, or by a system that is short of memory) would end the whole server, although
    it works. Here workers that came up do not count: the time of a start is only told when none
    has since, for so many ends in a row.

    Attributes:
        come_up: how many workers have, ever; counted by the workers themselves.
    """

    def __init__(self) -> None:
        super().__init__()
        self.come_up: Shared = multiprocessing.Value("Q", 0)
        self._seen = 0
        self._failures = 0

    def get(self, worker: int, default: float = 0) -> float:  # type: ignore[override] # as Granian asks
        """When a worker was started again, if there is reason to give up; else long ago."""
        come_up = self.come_up.value
        self._failures = self._failures + 1 if come_up == self._seen else 1
        self._seen = come_up
        return super().get(worker, default) if self._failures > _FAILURES_MAX else default
