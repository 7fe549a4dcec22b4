"""Measure with pytest-benchmark, and record the question, the case and the system."""

from __future__ import annotations

from collections.abc import Callable

from pytest_benchmark.fixture import BenchmarkFixture

from bench.results import Case

Figures = dict[str, float]


class Recorder:
    """Measures one system in one case of one question, and records the figures."""

    def __init__(self, benchmark: BenchmarkFixture, question: str, repeat: int) -> None:
        self._benchmark = benchmark
        self._question = question
        self._repeat = repeat

    def operations(
        self,
        work: Callable[[], object],
        *,
        count: int,
        system: str,
        case: str = "",
        rounds: int = 3,
        prepare: Callable[[], None] | None = None,
    ) -> None:
        """Time some rounds of ``work``, which does ``count`` operations, after a warm-up round.

        The recorder calls ``prepare`` before each round and does not time it.
        """
        pedantic: Callable[..., object] = self._benchmark.pedantic
        pedantic(work, setup=prepare, rounds=rounds, warmup_rounds=1)
        measured = self._benchmark.stats
        assert measured is not None
        self._note(system, case, {"µs/op": measured.stats.median / count * 1e6})

    def figures(self, work: Callable[[], Figures], *, system: str, case: str = "") -> Figures:
        """Run ``work`` once, and record the figures that it returns."""
        pedantic: Callable[..., Figures] = self._benchmark.pedantic
        figures = pedantic(work, rounds=1)
        self._note(system, case, figures)
        return figures

    def _note(self, system: str, case: str, figures: Figures) -> None:
        self._benchmark.group = f"{self._question} {case}".strip()
        noted = Case(self._question, case, system, self._repeat, figures)
        self._benchmark.extra_info.update(noted.to_members())
