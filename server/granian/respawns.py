"""Decide when to stop restarting workers: only if they end before they come up."""

from __future__ import annotations

import multiprocessing
from typing import Final, Protocol

_FAILURES_MAX: Final = 5


class Shared(Protocol):
    """A number in memory that several processes share."""

    value: int


class Respawns(dict[int, float]):
    """The times at which Granian last restarted each worker; Granian reads them when one ends.

    Granian 2.8 stops the whole server when a worker ends within 5.5 s of its restart. So two
    kills of one worker in a row (by hand, or by a system that is short of memory) would stop a
    server that works. This record hides the restart of workers that came up: it reports the real
    time only when several workers in a row ended and no worker came up in between.

    Attributes:
        come_up: the number of workers that ever came up; the workers themselves count it.
    """

    def __init__(self) -> None:
        super().__init__()
        self.come_up: Shared = multiprocessing.Value("Q", 0)
        self._seen = 0
        self._failures = 0

    def get(self, worker: int, default: float = 0) -> float:  # type: ignore[override] # as Granian asks
        """Return when a worker was restarted if Granian should give up, else ``default``."""
        come_up = self.come_up.value
        self._failures = self._failures + 1 if come_up == self._seen else 1
        self._seen = come_up
        return super().get(worker, default) if self._failures > _FAILURES_MAX else default
