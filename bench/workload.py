"""Keys, values and choices of keys, the same for every system and every run."""

from __future__ import annotations

import functools
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import numpy as np

VALUE_SIZE: Final = 100
"""Bytes of a value where the question is not about its size."""

_ZIPF_EXPONENT: Final = 0.99  # as in YCSB
_MIX_A, _MIX_B = 0xBF58476D1CE4E5B9, 0x94D049BB133111EB  # constants of splitmix64
_STEP: Final = 0x9E3779B97F4A7C15
_WORD: Final = (1 << 64) - 1

Choice = Literal["uniform", "zipf", "latest"]


def key_of(number: int) -> str:
    """The n-th key: a UUID, version 4, that looks random and can be made again from ``n``."""
    high, low = _mixed(2 * number), _mixed(2 * number + 1)
    text = f"{high:016x}{low:016x}"
    variant = "89ab"[low >> 60 & 3]
    return f"{text[:8]}-{text[8:12]}-4{text[13:16]}-{variant}{text[17:20]}-{text[20:]}"


def value_of(number: int, size: int = VALUE_SIZE) -> bytes:
    """The n-th value: text without a newline, different for every ``n`` where size allows it."""
    letter = bytes([ord("a") + number % 26])
    return (b"%012d-" % number).ljust(size, letter)[:size]


def rows(count: int, size: int = VALUE_SIZE) -> Iterator[tuple[str, bytes]]:
    """The first so many keys with their values."""
    return ((key_of(number), value_of(number, size)) for number in range(count))


def write_text_file(path: Path, count: int, size: int = VALUE_SIZE) -> None:
    """Write rows as a key-value text file."""
    with path.open("wb", buffering=1 << 20) as file:
        for key, value in rows(count, size):
            file.write(b"%s %s\n" % (key.encode(), value))


def read_text_file(path: Path) -> Iterator[tuple[str, bytes]]:
    """Read rows from a key-value text file that is known to be good."""
    with path.open("rb") as file:
        for line in file:
            key, _, value = line.rstrip(b"\n").partition(b" ")
            yield key.decode(), value


@functools.lru_cache(maxsize=16)
def sample(choice: Choice, key_count: int, size: int, seed: int) -> tuple[int, ...]:
    """Numbers of keys to ask for.

    Args:
        choice: ``uniform``; ``zipf``, few keys are popular, wherever they lie; ``latest``, the
            keys written last are.
        key_count: numbers are below this.
        size: how many.
        seed: the same seed gives the same numbers.
    """
    generator = np.random.default_rng(seed)
    if choice == "uniform":
        return tuple(generator.integers(0, key_count, size).tolist())
    weights = np.cumsum(1 / np.arange(1, key_count + 1) ** _ZIPF_EXPONENT)
    ranks = np.searchsorted(weights, generator.random(size) * weights[-1])
    if choice == "latest":
        return tuple((key_count - 1 - ranks).tolist())
    return tuple(generator.permutation(key_count)[ranks].tolist())


@dataclass(frozen=True, slots=True)
class Mix:
    """What a client does: shares of operations, the rest are reads; and which keys it takes.

    Attributes:
        name: as in YCSB.
        update: a value replaced.
        insert: a new key written.
        read_modify_write: a key read, then written.
        choice: of the keys.
    """

    name: str
    update: float = 0.0
    insert: float = 0.0
    read_modify_write: float = 0.0
    choice: Choice = "zipf"

    def operation(self, dice: random.Random) -> Literal["get", "update", "insert", "modify"]:
        """What to do next."""
        thrown = dice.random()
        if thrown < self.update:
            return "update"
        if thrown < self.update + self.insert:
            return "insert"
        if thrown < self.update + self.insert + self.read_modify_write:
            return "modify"
        return "get"


READS: Final = Mix("reads", choice="uniform")
ZIPF_READS: Final = Mix("zipf reads", choice="zipf")
WRITES: Final = Mix("new keys", insert=1.0)
SOME_WRITES: Final = Mix("5 % puts", update=0.05, choice="uniform")
YCSB: Final = (
    Mix("A", update=0.5),
    Mix("B", update=0.05),
    Mix("C"),
    Mix("D", insert=0.05, choice="latest"),
    Mix("F", read_modify_write=0.5),
)


def _mixed(number: int) -> int:
    """64 bits that look random: splitmix64."""
    word = (number + 1) * _STEP & _WORD
    word = (word ^ word >> 30) * _MIX_A & _WORD
    word = (word ^ word >> 27) * _MIX_B & _WORD
    return word ^ word >> 31
