"""Targets, the figures that they compare, and the verdicts on them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from bench.results import Results, Spread


@dataclass(frozen=True, slots=True)
class Cell:
    """A figure of a system in a case, or the best figure of several systems.

    Attributes:
        question: the name of the benchmark's file.
        system: the name of the system, or the beginning of the names of several systems.
        figure: the name of the figure.
        case: of the question; empty if it has only one.
        is_less_better: true for times and sizes.
    """

    question: str
    system: str
    figure: str
    case: str = ""
    is_less_better: bool = False

    def values(self, results: Results) -> dict[int, float]:
        """Return the figure by the number of the repeat; empty if it was not measured."""
        best: dict[int, float] = {}
        choose: Callable[[float, float], float] = min if self.is_less_better else max
        for found in results.cases:
            if (
                found.question == self.question
                and found.system.startswith(self.system)
                and self.case in ("", found.case)
                and self.figure in found.figures
            ):
                value = found.figures[self.figure]
                best[found.repeat] = choose(value, best.get(found.repeat, value))
        return best


@dataclass(frozen=True, slots=True)
class Target:
    """The bound of a ratio, or of a figure that has nothing to compare with.

    Attributes:
        what: the ratio in words.
        ours: the numerator.
        other: the denominator; ``None`` if the figure itself counts.
        least: the lower bound, or ``None``.
        most: the upper bound, or ``None``.
        unit: of a figure that is not a ratio.
    """

    what: str
    ours: Cell
    other: Cell | None
    least: float | None = None
    most: float | None = None
    unit: str = "times"


@dataclass(frozen=True, slots=True)
class Verdict:
    """A target and the measured value; ``None`` if it was not measured."""

    target: Target
    measured: Spread | None

    @property
    def command(self) -> str:
        """The command that measures it alone."""
        folder, _, name = self.target.ours.question.partition("/")
        return f"make bench ARGS='-k \"{folder} and bench_{name}\"'"

    @property
    def is_reached(self) -> bool | None:
        """Whether the median reaches the target; ``None`` if it was not measured."""
        if self.measured is None:
            return None
        target = self.target
        if target.least is not None:
            return self.measured.median >= target.least
        return target.most is not None and self.measured.median <= target.most


def judged(target: Target, results: Results) -> Verdict:
    """Return the verdict on a target."""
    return Verdict(target, _measured(results, target))


def _measured(results: Results, target: Target) -> Spread | None:
    ours = target.ours.values(results)
    if target.other is None:
        return Spread.of(list(ours.values())) if ours else None
    others = target.other.values(results)
    ratios = [value / others[repeat] for repeat, value in ours.items() if others.get(repeat)]
    return Spread.of(ratios) if ratios else None
