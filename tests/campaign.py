"""What long and short forms of a test share: a seed that is printed, a length, a summary.

A campaign is written once. ``make test`` runs it for as long as it says itself; ``make soak`` runs
it for ``RUNDLET_SOAK_S`` seconds, with a new seed. ``RUNDLET_SEED`` repeats a run.
"""

from __future__ import annotations

import os
import random
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

_SEED: Final = "RUNDLET_SEED"
_SOAK_S: Final = "RUNDLET_SOAK_S"
_SUMMARY: Final = "RUNDLET_SOAK_SUMMARY"
_SHORT_SEED: Final = 1


class Campaign:
    """One run of a randomised test.

    Attributes:
        seed: of this run.
        random: begins at the seed.
        is_long: the run is to go on for as long as it was told.
    """

    def __init__(self, name: str, *, short_s: float | None = None) -> None:
        """A short run ends after ``short_s`` seconds, or after one round where it is ``None``."""
        self._name = name
        self.seed = int(os.environ.get(_SEED) or _SHORT_SEED)
        self.random = random.Random(self.seed)
        self.is_long = bool(os.environ.get(_SOAK_S))
        length_s = float(os.environ.get(_SOAK_S) or short_s or 0)
        self._end_s = time.monotonic() + length_s
        self._counts: dict[str, int] = {}
        sys.stdout.write(f"{name}: {_SEED}={self.seed}\n")  # shown when the test fails

    def rounds(self) -> Iterator[int]:
        """Numbers of rounds, from 1, until the time is over; at least one. Then sums up."""
        number = 0
        while number == 0 or time.monotonic() < self._end_s:
            number += 1
            self.count("rounds")
            yield number
        self._sum_up()

    def count(self, what: str, more: int = 1) -> None:
        """Count something that the summary is to tell."""
        self._counts[what] = self._counts.get(what, 0) + more

    def _sum_up(self) -> None:
        line = ", ".join(f"{count:,} {what}" for what, count in self._counts.items())
        text = f"{self._name}: {line} (seed {self.seed})\n"
        sys.stdout.write(text)
        path = os.environ.get(_SUMMARY)
        if path:
            with Path(path).open("a") as file:
                file.write(text)
