"""What a store reports to operators."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple


class Gauge(NamedTuple):
    """One number that a backend reports for operators: segments, bytes on disk ...

    Attributes:
        value: as it is now.
        text: what it means, one line.
    """

    value: int | float
    text: str


@dataclass(frozen=True, slots=True)
class Health:
    """Whether a store reads and writes, as far as it is meant to.

    Attributes:
        reasons: why it is not ready (writes refused ...), each a sentence; empty if it is ready.
        disk_free_bytes: of the disk that it writes to; ``None`` if it writes to none, or if the
            file system does not know.
        warnings: conditions that do not stop reads and writes but need an operator, each a
            sentence.
        clock_ahead_s: how far its time, which never goes back, is ahead of this machine's clock;
            ``None`` if it keeps no time.
    """

    reasons: list[str]
    disk_free_bytes: int | None = None
    warnings: list[str] = field(default_factory=list)
    clock_ahead_s: float | None = None
