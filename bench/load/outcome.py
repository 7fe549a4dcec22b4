"""The results of a load."""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from bench.load.script import Kind

PERCENTILES: Final = {"p50": 50.0, "p90": 90.0, "p99": 99.0, "p99.9": 99.9}


@dataclass(slots=True)
class Samples:
    """The start and the duration of requests of one kind, in seconds of the monotonic clock."""

    began_s: array[float] = field(default_factory=lambda: array("d"))
    took_s: array[float] = field(default_factory=lambda: array("d"))

    def percentiles_ms(self, between_s: tuple[float, float] | None = None) -> dict[str, float]:
        """Return latencies in milliseconds by name, of requests that began in a span of time."""
        took = np.frombuffer(self.took_s)
        if between_s is not None:
            began = np.frombuffer(self.began_s)
            took = took[(began >= between_s[0]) & (began <= between_s[1])]
        if not len(took):
            return {}
        found = np.percentile(took, list(PERCENTILES.values())) * 1_000
        return dict(zip(PERCENTILES, found.tolist(), strict=True))


@dataclass(slots=True)
class Outcome:
    """The results of a load.

    Attributes:
        load_s: the length of the counted load.
        samples: by kind of request.
        acknowledged: the last acknowledged value of every written key, warm-up included.
        failures: what went wrong, in order.
    """

    load_s: float
    samples: dict[Kind, Samples]
    acknowledged: dict[str, bytes]
    failures: list[str] = field(default_factory=list)

    @property
    def count(self) -> int:
        """The number of requests answered during the counted load."""
        return sum(len(samples.took_s) for samples in self.samples.values())

    @property
    def requests_per_s(self) -> float:
        """The throughput."""
        return self.count / self.load_s

    def add(self, other: Outcome) -> None:
        """Add the results that another process measured at the same time."""
        for kind, samples in other.samples.items():
            mine = self.samples.setdefault(kind, Samples())
            mine.began_s.extend(samples.began_s)
            mine.took_s.extend(samples.took_s)
        self.acknowledged.update(other.acknowledged)
        self.failures += other.failures
