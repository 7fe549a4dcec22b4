"""Commit times: revision, time and place of every commit in one segment, oldest first."""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from rundlet_server.storage.log.format import record as records
from rundlet_server.storage.log.format.frame import ALIGNMENT, BadFrame, Frame

Words = npt.NDArray[np.uint64]


class CommitPlace(NamedTuple):
    """One commit: its time, and the offset of the frame that begins with it or holds it."""

    revision: int
    time_us: int
    offset: int


class CommitTimes:
    """The commits of one segment. One thread at a time adds; any thread reads without a lock.

    Attributes:
        revisions, times_us: ascending.
        units: offset of each commit's frame, in units of 8 bytes.
    """

    def __init__(
        self,
        revisions: Sequence[int] | None = None,
        times_us: Sequence[int] | None = None,
        units: Sequence[int] | None = None,
    ) -> None:
        # No buffer of the three is exported while they grow: an array with an export cannot grow.
        growing = self._growing = array("Q"), array("Q"), array("I")
        self.revisions = growing[0] if revisions is None else revisions
        self.times_us = growing[1] if times_us is None else times_us
        self.units = growing[2] if units is None else units

    def __len__(self) -> int:
        return len(self.revisions)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, CommitTimes):
            return NotImplemented
        mine = (self.revisions, self.times_us, self.units)
        others = (other.revisions, other.times_us, other.units)
        return all(list(one) == list(two) for one, two in zip(mine, others, strict=True))

    __hash__ = None  # type: ignore[assignment] # it grows

    def add(self, commits: Iterable[tuple[int, int, int]]) -> None:
        """Add newer commits, each the fields of a ``CommitPlace``.

        A commit whose records are in several frames counts by the first.
        """
        revisions, times_us, units = self._growing
        assert revisions is self.revisions
        for revision, time_us, offset in commits:
            if revisions and revisions[-1] == revision:
                continue
            # The revision comes last: readers look for it, and then for the others.
            units.append(offset // ALIGNMENT)
            times_us.append(time_us)
            revisions.append(revision)

    def add_columns(
        self, revisions: npt.ArrayLike, times_us: npt.ArrayLike, units: npt.ArrayLike
    ) -> None:
        """Add newer commits, at least one, whose revisions rise."""
        columns = self._growing
        assert columns[0] is self.revisions
        first = np.asarray(revisions, np.uint64)
        known = 1 if columns[0] and columns[0][-1] == first[0] else 0
        # In this order, see ``add``.
        columns[2].frombytes(np.asarray(units, np.uint32)[known:].tobytes())
        columns[1].frombytes(np.asarray(times_us, np.uint64)[known:].tobytes())
        columns[0].frombytes(first[known:].tobytes())

    def extend(self, revisions: bytes, times_us: bytes, offset: int) -> None:
        """Add the commits of one more frame, as the bytes of two arrays of u64."""
        of_frame = array("Q", revisions), array("Q", times_us)
        self.add((*commit, offset) for commit in zip(*of_frame, strict=True))

    def newest_at(self, revision: int) -> CommitPlace | None:
        """Return the newest commit at or below a revision."""
        place = bisect_right(self.revisions, revision)
        return self._commit(place - 1) if place else None

    def newest_by(self, time_us: int) -> CommitPlace | None:
        """Return the newest commit at or before a time."""
        place = bisect_right(self.times_us, time_us, hi=len(self.revisions))
        return self._commit(place - 1) if place else None

    def first_above(self, revision: int) -> CommitPlace | None:
        """Return the oldest commit above a revision."""
        place = bisect_right(self.revisions, revision)
        return self._commit(place) if place < len(self.revisions) else None

    def time_of(self, revision: int) -> int | None:
        """Return the time of the commit of a revision; ``None`` if there is none here."""
        place = bisect_left(self.revisions, revision)
        if place == len(self.revisions) or self.revisions[place] != revision:
            return None
        return self.times_us[place]

    def times_of(self, revisions: Words) -> Words:
        """Return the times of the commits of many revisions; 0 for a revision that is not here."""
        # Slices copy the arrays that grow, see above. Revisions are read first, see ``add``.
        known = np.asarray(self.revisions[:], np.uint64)
        times_us = np.asarray(self.times_us[: len(known)], np.uint64)
        places = np.searchsorted(known, revisions)
        is_here = known.take(places, mode="clip") == revisions
        times: Words = times_us.take(places, mode="clip") * is_here
        return times

    def _commit(self, place: int) -> CommitPlace:
        return CommitPlace(
            self.revisions[place], self.times_us[place], self.units[place] * ALIGNMENT
        )


def commits_of(frame: Frame, *, is_appended: bool) -> Iterator[CommitPlace]:
    """Yield the commits of a frame: one, or in a segment of copies those of all its records.

    Raises:
        BadFrame: the records do not fit into the frame.
    """
    if is_appended:
        yield CommitPlace(frame.revision, frame.time_us, frame.offset)
        return
    last, place = -1, 0
    for _ in range(frame.record_count):
        if place + records.OVERHEAD > len(frame.body):
            raise BadFrame("the records do not fit into the frame")
        header = records.HEADER.unpack_from(frame.body, place)
        value_size, key_size, meta_size, *_, revision, time_us = header
        place += records.OVERHEAD + value_size + key_size + meta_size
        if revision != last:
            last = revision
            yield CommitPlace(revision, time_us, frame.offset)
