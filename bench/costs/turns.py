"""Measure with a feature and without it, in turns, so that other load affects both."""

from __future__ import annotations

from collections.abc import Callable
from statistics import median
from typing import Final

from bench.recorder import Figures
from bench.systems.catalogue import GRANIAN_OPTIONS, RUNDLETS, WAITRESS_OPTIONS, rundlet
from bench.systems.system import System

_TURNS: Final = 3


def pairs(what: str, *options: str) -> dict[str, tuple[System, System]]:
    """Return for each server a system with options and one without, by the name of the latter."""
    layouts = (("waitress", WAITRESS_OPTIONS), ("granian", GRANIAN_OPTIONS))
    return {
        base.name: (rundlet(f"{layout}, {what}", *server, *options), base)
        for (layout, server), base in zip(layouts, RUNDLETS, strict=True)
    }


def in_turns(with_it: Callable[[], float], without: Callable[[], float]) -> Figures:
    """Return the ratio of two rates, and both; the median of some turns."""
    rates = [(with_it(), without()) for _ in range(_TURNS)]
    return {
        "ratio": median(one / other for one, other in rates),
        "requests/s with": median(one for one, _ in rates),
        "requests/s without": median(other for _, other in rates),
    }
