"""The operations of a benchmark, and the choice of their keys."""

from __future__ import annotations

import enum
import itertools
import random
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

_ZIPF_EXPONENT: Final = 0.99  # as in YCSB
_SHUFFLE_SEED: Final = 1


class Operation(enum.StrEnum):
    """An operation of a client."""

    READ = "read"
    WRITE = "write"  # another value for a key that has one
    INSERT = "insert"  # a key that has none yet
    MODIFY = "modify"  # one key read, then written


class Distribution(enum.StrEnum):
    """How often each key is chosen."""

    UNIFORM = "uniform"
    ZIPF = "zipf"  # a few keys are chosen often, wherever they lie
    LATEST = "latest"  # as zipf; the keys written last are chosen most often


@dataclass(frozen=True, slots=True)
class Mix:
    """Shares of operations, 0 to 1; the rest are reads.

    Attributes:
        distribution: of the keys, unless another one is requested.
    """

    name: str
    write: float = 0.0
    insert: float = 0.0
    modify: float = 0.0
    distribution: Distribution = Distribution.UNIFORM

    def operation(self, dice: random.Random) -> Operation:
        """Return the next operation."""
        thrown = dice.random()
        if thrown < self.write:
            return Operation.WRITE
        if thrown < self.write + self.insert:
            return Operation.INSERT
        if thrown < self.write + self.insert + self.modify:
            return Operation.MODIFY
        return Operation.READ

    @property
    def shares(self) -> dict[Operation, float]:
        """The share of each operation of the mix."""
        shares = {
            Operation.READ: 1 - self.write - self.insert - self.modify,
            Operation.WRITE: self.write,
            Operation.INSERT: self.insert,
            Operation.MODIFY: self.modify,
        }
        return {operation: share for operation, share in shares.items() if share > 0}


class MixName(enum.StrEnum):
    """The mixes there are; the letters are those of YCSB."""

    READ = "read"
    WRITE = "write"
    MIXED = "mixed"
    A = "a"
    B = "b"
    C = "c"
    D = "d"
    F = "f"


MIXES: Final = {
    MixName.READ: Mix("read"),
    MixName.WRITE: Mix("write", write=1.0),
    MixName.MIXED: Mix("mixed", write=0.2),
    MixName.A: Mix("a", write=0.5, distribution=Distribution.ZIPF),
    MixName.B: Mix("b", write=0.05, distribution=Distribution.ZIPF),
    MixName.C: Mix("c", distribution=Distribution.ZIPF),
    MixName.D: Mix("d", insert=0.05, distribution=Distribution.LATEST),
    MixName.F: Mix("f", modify=0.5, distribution=Distribution.ZIPF),
}


class KeySpace:
    """The keys of one benchmark, all under its prefix; may be used by many threads."""

    def __init__(self, prefix: str, count: int, distribution: Distribution) -> None:
        self.prefix = prefix
        self._distribution = distribution
        numbers = list(range(count))
        # The first keys of the list are the popular ones; they must not be neighbours in the store.
        random.Random(_SHUFFLE_SEED).shuffle(numbers)
        self._keys = [self._named(number) for number in numbers]
        self._new_numbers = itertools.count(count)
        self._weights = [] if distribution is Distribution.UNIFORM else _zipf_weights(count)

    def __iter__(self) -> Iterator[str]:
        return iter(self._keys)

    def chosen(self, dice: random.Random) -> str:
        """Return a key that has a value."""
        count = len(self._keys)
        if self._distribution is Distribution.UNIFORM:
            return self._keys[int(dice.random() * count)]
        rank = bisect_left(self._weights, dice.random() * self._weights[-1])
        return self._keys[count - 1 - rank if self._distribution is Distribution.LATEST else rank]

    def new(self) -> str:
        """Return a key that was not used before; ``add`` it once it has a value."""
        return self._named(next(self._new_numbers))

    def add(self, key: str) -> None:
        """Add a key that has a value now, so that it may be chosen."""
        self._keys.append(key)

    def _named(self, number: int) -> str:
        return f"{self.prefix}{number:08d}"


def _zipf_weights(count: int) -> list[float]:
    """Return running sums of the weights of the ranks, the most popular first."""
    return list(itertools.accumulate(1 / rank**_ZIPF_EXPONENT for rank in range(1, count + 1)))
