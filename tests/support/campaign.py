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
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Iterator, Sequence

SEED_VARIABLE = "RUNDLET_SEED"
MINUTES_VARIABLE = "RUNDLET_SOAK_MINUTES"
_SEED_DEFAULT = 1
_MINUTES_DEFAULT = 1.0


class Campaign:
    """One run of a campaign: its seed, its time, and its counts for the summary.

    Attributes:
        name: of the test.
        seed: of the current round, or of the next one between rounds.
        round_count: the number of rounds begun.
        faults: the number of injected faults by kind; add to it with ``count``.
        has_failed: whether the test found a fault in the product.
    """

    def __init__(self, name: str, share: int = 1) -> None:
        """Begin; ``share`` is the number of campaigns that divide the time."""
        self.name = name
        self.seed = int(os.environ.get(SEED_VARIABLE, _SEED_DEFAULT))
        self.round_count = 0
        self.faults: dict[str, int] = {}
        self.has_failed = False
        minutes = float(os.environ.get(MINUTES_VARIABLE, _MINUTES_DEFAULT))
        self._duration_s = 60 * minutes / share
        self._begin_s = time.monotonic()

    def rounds(self, count: int | None = None) -> Iterator[random.Random]:
        """Yield a random generator for each of ``count`` rounds, or until the time is over."""
        self._begin_s = time.monotonic()
        while self._is_to_go_on(count):
            self.round_count += 1
            yield random.Random(self.seed)
            self.seed += 1

    @property
    def is_over(self) -> bool:
        """Return whether the time is over; a long round checks this and ends early."""
        return time.monotonic() - self._begin_s >= self._duration_s

    def count(self, kind: str, count: int = 1) -> None:
        """Count injected faults, or tried states, of a kind."""
        self.faults[kind] = self.faults.get(kind, 0) + count

    def _is_to_go_on(self, count: int | None) -> bool:
        if count is not None:
            return self.round_count < count
        return self.round_count == 0 or not self.is_over


def summary(campaigns: Sequence[Campaign]) -> list[str]:
    """Return a table of what the campaigns tried, one line for each."""
    rows = [("campaign", "rounds", "found", "faults injected")]
    for campaign in campaigns:
        faults = ", ".join(f"{count:,} {kind}" for kind, count in campaign.faults.items())
        found = f"seed {campaign.seed}" if campaign.has_failed else "nothing"
        rows.append((campaign.name, str(campaign.round_count), found, faults))
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    return [
        "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[3]])
        for row in rows
    ]
