"""Bound how often a process reports the same thing.

A client, or a fault that lasts, can cause the same report once for each request: a full disk made
5,500 lines in twelve seconds, and the log is often on that disk. So the first few reports of a kind
pass at once. Later ones are counted, and every ten seconds one report says how many there were.
After ten seconds without any, a last report says that they have ended.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from rundlet_server.storage.forks import listen_for_forks

EVERY_S: Final = 10.0
AT_ONCE: Final = 5
"""So many reports of a kind pass before others are counted. All reports of a rare fault pass, and
the request id of an answer leads to its line."""

Report = TypeVar("Report")

CallLater = Callable[[float, Callable[[], None]], None]
"""Calls a function once, after so many seconds, in another thread."""


@dataclass(slots=True)
class _Kind(Generic[Report]):
    last: Report
    total: int = 0
    counted: int = 0


def call_later(delay_s: float, function: Callable[[], None]) -> None:
    """See ``CallLater``."""
    timer = threading.Timer(delay_s, function)
    timer.name, timer.daemon = "rundlet-repeats", True
    timer.start()


class Repeats(Generic[Report]):
    """Decides which reports pass. Any thread may use it.

    The number of kinds must be small: nothing that a client chooses may be part of a kind.
    """

    def __init__(
        self, summarize: Callable[[Report, int], None], later: CallLater = call_later
    ) -> None:
        """Begin with no reports.

        Args:
            summarize: reports how many more there were like the last report; with 0, that they
                have ended. Called in a thread of its own.
            later: calls a function after a delay.
        """
        self._summarize = summarize
        self._later = later
        self.after_fork()
        listen_for_forks(self)

    def after_fork(self) -> None:
        """Begin again in a forked child: it has no timer, and another thread may hold the lock."""
        self._kinds: dict[Hashable, _Kind[Report]] = {}
        self._is_looking = False
        self._lock = threading.Lock()

    def passes(self, kind: Hashable, report: Report) -> bool:
        """Return whether to make a report now; if not, it is counted."""
        with self._lock:
            self._look_later()
            known = self._kinds.setdefault(kind, _Kind(report))
            known.last = report
            known.total += 1
            if known.total <= AT_ONCE:
                return True
            known.counted += 1
            return False

    def _look_later(self) -> None:
        if self._is_looking:
            return
        with contextlib.suppress(RuntimeError):  # no thread can start now: the next report tries
            self._later(EVERY_S, self._look)
            self._is_looking = True

    def _look(self) -> None:
        """Summarize the counted reports, and forget the kinds without any."""
        with self._lock:
            self._is_looking = False
            kinds = self._kinds
            summaries = [(k.last, k.counted) for k in kinds.values() if k.total > AT_ONCE]
            self._kinds = {kind: known for kind, known in kinds.items() if known.counted}
            for known in self._kinds.values():
                known.counted = 0
            if self._kinds:
                self._look_later()
        for last, count in summaries:
            self._summarize(last, count)
