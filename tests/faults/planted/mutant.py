"""What a planted bug is."""

from __future__ import annotations

from typing import NamedTuple


class Mutant(NamedTuple):
    """A planted bug.

    Attributes:
        name: what it does, as a file name.
        path: the file it is in.
        old: what stands there once.
        new: what stands there instead.
        tests: that are likely to find it.
    """

    name: str
    path: str
    old: str
    new: str
    tests: tuple[str, ...]
