"""The horizon: the revision behind which old versions may be dropped.

Everything that was visible in the last ``keep_for_s`` seconds stays readable. The *horizon* is
the revision that was the head that long ago; ``index.retention`` says what it means for a version.
"""

from __future__ import annotations

from bisect import bisect_right

from rundlet_server.storage.log.read.view import View


class Horizon:
    """Remembers which revision was the head when, to find the horizon."""

    def __init__(self, keep_for_s: float) -> None:
        self._keep_for_us = round(keep_for_s * 1_000_000)
        self._samples: list[tuple[int, int]] = []

    def sample(self, view: View, now_us: int) -> None:
        """Note the head at this time; about a hundred samples span the time to keep."""
        step_us = self._keep_for_us // 100
        if not self._samples or now_us - self._samples[-1][0] >= step_us:
            self._samples.append((now_us, view.head.revision))
        while len(self._samples) > 1 and self._samples[1][0] <= now_us - self._keep_for_us:
            del self._samples[0]

    def revision(self, view: View, now_us: int) -> int:
        """Return the horizon: at most the revision that was the head ``keep_for_s`` ago."""
        then_us = now_us - self._keep_for_us
        if view.head.time_us <= then_us or self._keep_for_us == 0:
            return view.head.revision
        known = [(state.last_time_us, state.last_revision) for state in view.manifest.segments[:-1]]
        horizon = view.manifest.oldest_revision
        for samples in (known, self._samples):
            place = bisect_right(samples, then_us, key=lambda sample: sample[0])
            if place:
                horizon = max(horizon, samples[place - 1][1])
        return horizon
