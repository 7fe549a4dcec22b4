"""The numbers of keys that targets about growth compare."""

from __future__ import annotations

from typing import Final

from bench.results import Results

_USUAL: Final = "100,000 keys"
_MOST: Final = "10,000,000 keys"


def few_and_many(results: Results, question: str) -> tuple[str, str]:
    """Return the cases to compare: 100,000 keys if that was measured, and the largest number.

    With fewer keys a store has no segment that is full.
    """
    cases = results.of(question).names(lambda case: case.case)
    if not cases:
        return _USUAL, _MOST
    return (_USUAL if _USUAL in cases[:-1] else cases[0]), cases[-1]
