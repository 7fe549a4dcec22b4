"""Keys, values and choices of keys; the same for every system and every run."""

from __future__ import annotations

import functools
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import numpy as np

VALUE_SIZE: Final = 100
"""Bytes of a value, except in questions about that size."""

_ZIPF_EXPONENT: Final = 0.99  # as in YCSB
_MIX_A, _MIX_B = 0xBF58476D1CE4E5B9, 0x94D049BB133111EB  # constants of splitmix64
_STEP: Final = 0x9E3779B97F4A7C15
_WORD: Final = (1 << 64) - 1

Choice = Literal["uniform", "zipf", "latest"]


def key_of(number: int) -> str:
    """Return the n-th key: a UUID, version 4, that looks random but depends on ``n`` alone."""
    high, low = _mixed(2 * number), _mixed(2 * number + 1)
    text = f"{high:016x}{low:016x}"
    variant = "89ab"[low >> 60 & 3]
    return f"{text[:8]}-{text[8:12]}-4{text[13:16]}-{variant}{text[17:20]}-{text[20:]}"


def value_of(number: int, size: int = VALUE_SIZE) -> bytes:
    """Return the n-th value: text without a newline, unique for every ``n`` if ``size`` allows."""
    letter = bytes([ord("a") + number % 26])
    return (b"%012d-" % number).ljust(size, letter)[:size]


def rows(count: int, size: int = VALUE_SIZE) -> Iterator[tuple[str, bytes]]:
    """Yield the first ``count`` keys with their values."""
    return ((key_of(number), value_of(number, size)) for number in range(count))


def write_text_file(path: Path, count: int, size: int = VALUE_SIZE) -> None:
    """Write rows as a key-value text file."""
    with path.open("wb", buffering=1 << 20) as file:
        for key, value in rows(count, size):
            file.write(b"%s %s\n" % (key.encode(), value))


def read_text_file(path: Path) -> Iterator[tuple[str, bytes]]:
    """Read rows from a key-value text file without checking it."""
    with path.open("rb") as file:
        for line in file:
            key, _, value = line.rstrip(b"\n").partition(b" ")
            yield key.decode(), value


@functools.lru_cache(maxsize=16)
def sample(choice: Choice, key_count: int, size: int, seed: int) -> tuple[int, ...]:
    """Return the numbers of keys to read.

    Args:
        choice: ``uniform``; ``zipf``: a few keys anywhere are popular; ``latest``: the keys
            written last are popular.
        key_count: all numbers are below this.
        size: how many numbers to return.
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
    """The operations of a client: a share for each kind of write; all others are reads.

    Attributes:
        name: as in YCSB.
        update: the share of operations that replace a value.
        insert: the share that write a new key.
        read_modify_write: the share that read a key, then write it.
        choice: how a client chooses keys.
    """

    name: str
    update: float = 0.0
    insert: float = 0.0
    read_modify_write: float = 0.0
    choice: Choice = "zipf"

    def operation(self, dice: random.Random) -> Literal["get", "update", "insert", "modify"]:
        """Choose the next operation."""
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
NEW_KEYS_BESIDE_READS: Final = Mix("5 % new keys", insert=0.05, choice="uniform")
YCSB: Final = (
    Mix("A", update=0.5),
    Mix("B", update=0.05),
    Mix("C"),
    Mix("D", insert=0.05, choice="latest"),
    Mix("F", read_modify_write=0.5),
)


def _mixed(number: int) -> int:
    """Return 64 bits that look random (splitmix64)."""
    word = (number + 1) * _STEP & _WORD
    word = (word ^ word >> 30) * _MIX_A & _WORD
    word = (word ^ word >> 27) * _MIX_B & _WORD
    return word ^ word >> 31
