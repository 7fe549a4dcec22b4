"""Find where another system is better than Rundlet."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from bench.results import Results

_OURS: Final = "rundlet"
_UNCACHED: Final = "rundlet, no cache"
"""If it was measured, it is the one to compare, as the questions read few keys again and again."""


class Better(NamedTuple):
    """A system that is better than Rundlet in a case of a question.

    Attributes:
        question: the name of the benchmark's file.
        case: of the question.
        system: the other system.
        times: how many times as good it is, by the medians of the first figure of the question.
    """

    question: str
    case: str
    system: str
    times: float


def better(results: Results) -> Iterator[Better]:
    """Yield the systems that are better than Rundlet's best one, in the order of the run."""
    for question in results.questions():
        found = results.of(question)
        figure = found.figure_names()[0]
        for case in found.names(lambda one: one.case):
            merits = _merits(found, question, case, figure)
            ours = {system: merit for system, merit in merits.items() if system.startswith(_OURS)}
            if not ours:
                continue
            best = ours.get(_UNCACHED, max(ours.values()))
            for system, merit in merits.items():
                if system not in ours and merit > best:
                    yield Better(question, case, system, merit / best)


def _merits(results: Results, question: str, case: str, figure: str) -> dict[str, float]:
    """Return a number for each system that is larger if the system is better."""
    is_rate = figure.endswith("/s")
    merits = {}
    for system in results.names(lambda one: one.system):
        spread = results.spread(question, case, system, figure)
        if spread is not None and spread.median > 0:
            merits[system] = spread.median if is_rate else 1 / spread.median
    return merits
