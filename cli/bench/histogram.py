"""Counts latencies in buckets, so that a run of any length takes the same memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

# Buckets double in width every 2**7 of them, so a latency is known to within 1/128 of itself.
_PRECISION_BITS = 7
_HALF = 1 << _PRECISION_BITS


class LatencyHistogram:
    """Latencies in nanoseconds; one thread adds to it, any may read."""

    def __init__(self) -> None:
        self.count = 0
        self.sum_ns = 0
        self.max_ns = 0
        self._counts: dict[int, int] = {}

    def add(self, latency_ns: int) -> None:
        """Count one latency."""
        bucket = _bucket_of(latency_ns)
        self._counts[bucket] = self._counts.get(bucket, 0) + 1
        self.count += 1
        self.sum_ns += latency_ns
        self.max_ns = max(self.max_ns, latency_ns)

    def merge(self, other: LatencyHistogram) -> None:
        """Add the counts of another histogram."""
        for bucket, count in other._counts.items():
            self._counts[bucket] = self._counts.get(bucket, 0) + count
        self.count += other.count
        self.sum_ns += other.sum_ns
        self.max_ns = max(self.max_ns, other.max_ns)

    @property
    def mean_ns(self) -> float:
        """The mean; 0 if nothing was counted."""
        return self.sum_ns / self.count if self.count else 0.0

    def quantile_ns(self, share: float) -> int:
        """Return the latency that this share (0 to 1) of all does not exceed; 0 if there are none.

        The result is at most 1/128 above the true quantile, never below it.
        """
        wanted = max(1.0, share * self.count)
        seen = 0
        for bucket, count in self._sorted():
            seen += count
            if seen >= wanted:
                return min(_last_of(bucket), self.max_ns)
        return self.max_ns

    def counts_up_to(self, edges_ns: Sequence[float]) -> list[int]:
        """Return the counts of the ranges that end at these rising edges, the first from 0."""
        counts = [0] * len(edges_ns)
        position = 0
        for bucket, count in self._sorted():
            latency_ns = min(_last_of(bucket), self.max_ns)
            while position < len(edges_ns) and latency_ns > edges_ns[position]:
                position += 1
            if position == len(edges_ns):
                break
            counts[position] += count
        return counts

    def _sorted(self) -> Iterator[tuple[int, int]]:
        return iter(sorted(self._counts.items()))


def _bucket_of(latency_ns: int) -> int:
    """Return the number of a bucket; the narrow ones, of 1 ns each, come first."""
    shift = max(0, latency_ns.bit_length() - _PRECISION_BITS - 1)
    return shift * _HALF + (latency_ns >> shift)


def _last_of(bucket: int) -> int:
    """Return the highest latency of a bucket."""
    shift = max(0, bucket // _HALF - 1)
    return ((bucket - shift * _HALF + 1) << shift) - 1
