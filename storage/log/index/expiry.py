"""Find the rows of an index file that expire in a span of time.

An index file has the times in the order of its rows. To look at all of them for each query would
cost more with every key. So the next few expiries are kept in the order of time: a query about them
is a binary search, and only a query beyond them reads all times.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

_COUNT: Final = 4_096
"""Expiries kept in the order of time; 12 bytes each."""
_FOREVER_US: Final = (1 << 64) - 1

RowNumbers = npt.NDArray[np.uint32]
_Times = npt.NDArray[np.uint64]

_NONE: Final = np.zeros(0, np.uint32)


class _Upcoming(NamedTuple):
    """All rows that expire in (``after_us``, ``through_us``], in order of time."""

    after_us: int
    through_us: int
    rows: RowNumbers
    times_us: _Times


class ExpiryOrder:
    """Finds rows by the time of their expiry. Any thread may use it."""

    def __init__(self) -> None:
        self._upcoming: _Upcoming | None = None

    def rows_between(
        self,
        after_us: int,
        through_us: int,
        columns: Callable[[], tuple[RowNumbers, _Times]],
    ) -> RowNumbers:
        """Return the rows whose expiry lies in (``after_us``, ``through_us``].

        Args:
            after_us: the time before the span.
            through_us: the last time in it.
            columns: returns all rows that expire, and when; called only if they must be read.
        """
        if through_us <= after_us:
            return _NONE
        upcoming = self._upcoming
        if upcoming and upcoming.after_us <= after_us and through_us <= upcoming.through_us:
            bounds = np.array([after_us, through_us], np.uint64)
            start, end = np.searchsorted(upcoming.times_us, bounds, side="right").tolist()
            return upcoming.rows[start:end]
        rows, times_us = columns()
        found = rows[(times_us > after_us) & (times_us <= through_us)]
        # The next query most often begins where this one began or ended.
        self._upcoming = _first(rows, times_us, through_us if len(found) > _COUNT else after_us)
        return found


def _first(rows: RowNumbers, times_us: _Times, after_us: int) -> _Upcoming:
    """Return up to ``_COUNT`` rows that expire first after a time; never a part of one time."""
    places = np.flatnonzero(times_us > after_us)
    through_us = _FOREVER_US
    if len(places) > _COUNT:
        later_us = times_us[places]
        through_us = int(np.partition(later_us, _COUNT)[_COUNT]) - 1
        places = places[later_us <= through_us]
    places = places[np.argsort(times_us[places], kind="stable")]
    return _Upcoming(after_us, through_us, rows[places], times_us[places])
