"""Inputs that make a careless parser take quadratic time, and a check that a parser is linear.

A careless parser tries to match the same characters from many positions, or copies what it has for
every piece that arrives. Long runs of one character that a grammar allows in two places are what it
takes, often with something at the end that does not match.
"""

from __future__ import annotations

import itertools
import random
import time
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

SIZES: Final = (4 * 1024, 16 * 1024, 64 * 1024)
_GROWTH_MAX: Final = 10.0
"""How much more time an input may take than one of a quarter of its size: 4 times is linear, 16
times quadratic."""
_NEGLIGIBLE_S: Final = 0.005
_LONGEST_S: Final = 0.05
_SLACK: Final = 5
"""CPU time is measured, but other processes share the caches and the cores."""
_REPEATS: Final = 3

_UNITS: Final = (
    *(" ", "\t", " \t", "*", ",", ", ", " ,", ";", "; ", ";;=", '"', '",', ';"', '\\"', "\\"),
    *("%", "%4", "%41", "%zz", "/", "//", "./", "../", ".", ":", "::", "://", "a://", "[", "]"),
    *("a", "a ", "a=", "a=b;", "a/b,", "a/b;q=1,", "*/*,", "=", "&", "a&", "a=1&", "?", "#", "@"),
    *("-", "0", "1", "1-", "0-0,", "1.", "9", "_", "+", "~", "(", "<", "W/", 'W/"",', '"",', '""'),
    *("é", "\x80", "\xff", "\x7f", "\0", "\r", "\n", "\r\n", "\r\n ", "\r\n\r", "\n\r", "A:\r\n"),
    *("A: b\r\n", "A:  b \r\n", "é: b\r\n", "A : b\r\n", ";a=b", ";a", ';a="b"', ';a="', "-a"),
)
_ENDS: Final = ("", "x\0", '"')


class Shape(NamedTuple):
    """A text of any size: a beginning, a run of the same characters, and an end."""

    begin: str
    unit: str
    end: str

    def text(self, size: int) -> str:
        """Return it with a run of about ``size`` characters."""
        return self.begin + self.unit * (size // len(self.unit)) + self.end


def shapes(seed: int, *begins: str, mixed: int = 60) -> Iterator[Shape]:
    """Yield every run with every end, and ``mixed`` runs of two to four units.

    Args:
        seed: of the random choices.
        begins: what may stand before the run; the first one is for every run, and each of the
            others for a random tenth.
        mixed: the number of random ones.
    """
    chance = random.Random(seed)
    for unit, end in itertools.product(_UNITS, _ENDS):
        yield Shape(begins[0] if begins else "", unit, end)
        for begin in begins[1:]:
            if chance.random() < 0.1:
                yield Shape(begin, unit, end)
    for _ in range(mixed):
        unit = "".join(chance.choices(_UNITS, k=chance.randrange(2, 5)))
        yield Shape(chance.choice(begins or ("",)), unit, chance.choice(_ENDS))


def require_linear(work: Callable[[int], object], label: object) -> None:
    """Call ``work`` with growing sizes and compare the CPU time that this thread takes.

    Raises:
        AssertionError: the time grows faster than the size, or a call takes too long.
    """
    before_s = 0.0
    for size in SIZES:
        taken_s = _cpu_s(work, size)
        if taken_s > _NEGLIGIBLE_S:
            taken_s = min(taken_s, *(_cpu_s(work, size) for _ in range(_REPEATS - 1)))
        grown = taken_s / max(before_s, _NEGLIGIBLE_S / _GROWTH_MAX)
        assert grown < _GROWTH_MAX, f"{label!r}: {taken_s:.3f} s at {size}, {before_s:.4f} s before"
        before_s = taken_s
    assert before_s < _LONGEST_S * _SLACK, f"{label!r}: {before_s:.3f} s at {SIZES[-1]}"


def _cpu_s(work: Callable[[int], object], size: int) -> float:
    began_s = time.thread_time()
    work(size)
    return time.thread_time() - began_s
