"""The targets, ratios within one run on one machine, and the verdicts on them.

Each ratio compares two systems of the same repeat; its median over the repeats decides. ``serving``
and ``engine`` hold what the project sets out to reach; ``further`` holds what it must not lose.
"""

from __future__ import annotations

from bench.results import Results
from bench.targets import engine, further, serving
from bench.targets.model import Target, Verdict, judged


def judge(results: Results) -> list[Verdict]:
    """Return a verdict on every target, in order."""
    return [judged(target, results) for target in all_targets(results)]


def all_targets(results: Results) -> list[Target]:
    """Return all targets; those by number of keys use the numbers that were measured."""
    return [*serving.TARGETS, *engine.targets(results), *further.targets(results)]
