"""Campaigns: tests that inject random faults, round after round, and report what they tried.

Each has a short form, which runs in ``make test``, and a long one, marked ``soak``, for
``make soak``. Both take the fixture ``campaign`` (see ``conftest``), which counts their rounds::

    def test_power_cuts_lose_nothing(campaign):
        cut_power(campaign, campaign.rounds(3))

    @pytest.mark.soak
    def test_power_cuts_lose_nothing_for_long(campaign):
        cut_power(campaign, campaign.rounds())

Every round has its own seed, one more than that of the round before. A failure reports the seed of
its round; with ``RUNDLET_SEED`` set to it, a run starts with that round.

A long form says at once that it begins, and every few seconds what it has done. Several tests can
be one campaign, ``@pytest.mark.soak(campaign="name")``: they share its time, seed and counts.
"""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence

SEED_VARIABLE = "RUNDLET_SEED"
MINUTES_VARIABLE = "RUNDLET_SOAK_MINUTES"
SEED_DEFAULT = 1
_MINUTES_DEFAULT = 1.0
PROGRESS_S = 10.0
"""A campaign says no more often how far it is, in seconds."""

Row = tuple[str, str, str, str]
"""A line of the summary: name, number of rounds, what was found, and what was tried."""


class Campaign:
    """One run of a campaign: its seed, its time, and its counts for the summary.

    Attributes:
        name: of the test.
        seed: of the current round, or of the next one between rounds.
        round_count: the number of rounds begun.
        faults: the number of injected faults by kind; add to it with ``count``.
        has_failed: whether the test found a fault in the product.
    """

    def __init__(
        self, name: str, share: int = 1, report: Callable[[str], None] | None = None
    ) -> None:
        """Begin.

        Args:
            name: of the test.
            share: the number of campaigns that divide the time.
            report: prints a line of progress at once; without it the campaign is silent.
        """
        self.name = name
        self.seed = int(os.environ.get(SEED_VARIABLE, SEED_DEFAULT))
        self.round_count = 0
        self.faults: dict[str, int] = {}
        self.has_failed = False
        minutes = float(os.environ.get(MINUTES_VARIABLE, _MINUTES_DEFAULT))
        self._duration_s = 60 * minutes / share
        self._begin_s = self._told_s = time.monotonic()
        self._report = report
        self._thread = threading.get_ident()
        self._lock = threading.Lock()
        self.tell(f"begins with seed {self.seed}, for {self._duration_s:.0f} s")

    def rounds(self, count: int | None = None) -> Iterator[random.Random]:
        """Yield a random generator for each of ``count`` rounds, or until the time is over."""
        self._begin_s = time.monotonic()
        while self._is_to_go_on(count):
            self.round_count += 1
            yield random.Random(self.seed)
            self.seed += 1
        self.tell(f"ends after {self.round_count} rounds, {self.counts or 'nothing to count'}")

    @property
    def is_over(self) -> bool:
        """Return whether the time is over; a long round checks this and ends early."""
        return time.monotonic() - self._begin_s >= self._duration_s

    def count(self, kind: str, count: int = 1) -> None:
        """Count injected faults, or tried states, of a kind."""
        with self._lock:
            self.faults[kind] = self.faults.get(kind, 0) + count
        if time.monotonic() - self._told_s >= PROGRESS_S:
            self.tell(f"round {self.round_count}, seed {self.seed}, {self.counts}")

    def tell(self, line: str) -> None:
        """Print a line of progress, if this campaign is a long one.

        Only the thread of the test prints; other threads may count, too.
        """
        if self._report is None or threading.get_ident() != self._thread:
            return
        self._told_s = time.monotonic()
        self._report(f"{self._told_s - self._begin_s:6.0f} s  {self.name}: {line}")

    @property
    def counts(self) -> str:
        """Return what was counted, in words."""
        # A copy, made in one step: other threads may count meanwhile.
        return ", ".join(f"{count:,} {kind}" for kind, count in list(self.faults.items()))

    @property
    def row(self) -> Row:
        """Return this campaign's line of the summary."""
        found = f"seed {self.seed}" if self.has_failed else "nothing"
        return (self.name, str(self.round_count), found, self.counts)

    def _is_to_go_on(self, count: int | None) -> bool:
        if count is not None:
            return self.round_count < count
        return self.round_count == 0 or not self.is_over


def summary(rows: Sequence[Row]) -> list[str]:
    """Return a table of what campaigns tried, one line for each."""
    table = [("campaign", "rounds", "found", "faults injected"), *rows]
    widths = [max(len(row[column]) for row in table) for column in range(3)]
    return [
        "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[3]])
        for row in table
    ]
