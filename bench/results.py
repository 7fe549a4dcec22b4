"""Read what a run measured from the JSON that pytest-benchmark wrote."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import NamedTuple, Self


class Spread(NamedTuple):
    """A figure over the repeats of a run."""

    median: float
    lowest: float
    highest: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Self:
        """Compute the spread of one or more values."""
        return cls(median(values), min(values), max(values))


@dataclass(frozen=True, slots=True)
class Case:
    """One measurement of one system.

    Attributes:
        question: the name of the benchmark's file with its folder: ``http/get``.
        case: of the question: a size, a policy, a number of clients.
        system: the name of the system that was measured.
        repeat: counted from 0; systems with the same number took turns.
        figures: by name and unit.
    """

    question: str
    case: str
    system: str
    repeat: int
    figures: dict[str, float]

    def to_members(self) -> dict[str, object]:
        """Return the members of its JSON object."""
        return {
            "question": self.question,
            "case": self.case,
            "system": self.system,
            "repeat": self.repeat,
            "figures": self.figures,
        }


class Results:
    """Everything that was measured in one run."""

    def __init__(self, cases: Sequence[Case]) -> None:
        self.cases = list(cases)

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read what pytest-benchmark wrote."""
        benchmarks = json.loads(path.read_text())["benchmarks"]
        infos = [benchmark["extra_info"] for benchmark in benchmarks]
        return cls([Case(**info) for info in infos if "question" in info])

    def questions(self) -> list[str]:
        """Return all questions, in the order of the run."""
        return list(dict.fromkeys(case.question for case in self.cases))

    def of(self, question: str) -> Results:
        """Return the results of one question."""
        return Results([case for case in self.cases if case.question == question])

    def names(self, member: Callable[[Case], str]) -> list[str]:
        """Return the distinct values of a member, in order."""
        return list(dict.fromkeys(member(case) for case in self.cases))

    def figure_names(self) -> list[str]:
        """Return the distinct names of all figures, in order."""
        return list(dict.fromkeys(name for case in self.cases for name in case.figures))

    def spread(self, question: str, case: str, system: str, figure: str) -> Spread | None:
        """Return a figure over the repeats; ``None`` if it was not measured."""
        values = [value for _, value in self._values(question, case, system, figure)]
        return Spread.of(values) if values else None

    def by_repeat(self, question: str, case: str, system: str, figure: str) -> dict[int, float]:
        """Return a figure by the number of the repeat."""
        return dict(self._values(question, case, system, figure))

    def _values(
        self, question: str, case: str, system: str, figure: str
    ) -> Iterator[tuple[int, float]]:
        for found in self.cases:
            place = (found.question, found.case, found.system)
            if place == (question, case, system) and figure in found.figures:
                yield found.repeat, found.figures[figure]
