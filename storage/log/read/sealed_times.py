"""The commit times of segments that have index files, for one process."""

from __future__ import annotations

from collections.abc import Set
from pathlib import Path
from typing import Final

from rundlet_server.storage.errors import Damaged, UnknownFormat
from rundlet_server.storage.files import Files
from rundlet_server.storage.log.format.commit_times import CommitTimes
from rundlet_server.storage.log.format.segment import Segment, read_commits
from rundlet_server.storage.log.format.times_file import read_times

_MAPPED_MAX: Final = 1_024
"""Files kept mapped; their pages are shared by all processes."""
_DERIVED_MAX: Final = 8
"""Segments without a times file whose times are kept in memory: up to 1.3 MB each."""


class SealedTimes:
    """Commit times by segment number; numbers are never reused. Any thread may use it."""

    def __init__(self, files: Files, folder: Path, mapped_max: int) -> None:
        """Read the files of a folder.

        Args:
            files: the file system.
            folder: of the store.
            mapped_max: the most files to keep mapped: each of them takes a descriptor, too.
        """
        self._files = files
        self._folder = folder
        self._mapped_max = min(mapped_max, _MAPPED_MAX)
        self._mapped: dict[int, CommitTimes] = {}
        self._derived: dict[int, CommitTimes] = {}

    def known(self, number: int) -> CommitTimes | None:
        """Return the times of a segment if they are in memory."""
        return self._mapped.get(number) or self._derived.get(number)

    def read(self, segment: Segment, size: int) -> CommitTimes:
        """Return the commits of a segment of ``size`` bytes, from its file or from itself.

        Raises:
            Damaged: there is no whole file, and the segment is not what was written.
        """
        try:
            times, cache, most = self._of_file(segment), self._mapped, self._mapped_max
        except (FileNotFoundError, Damaged, UnknownFormat):
            times, cache, most = read_commits(segment, size), self._derived, _DERIVED_MAX
        for number in list(cache)[: max(0, len(cache) - most + 1)]:
            cache.pop(number, None)
        cache[segment.number] = times
        return times

    def keep(self, numbers: Set[int]) -> None:
        """Forget all other segments: a removed file occupies the disk as long as it is mapped."""
        for cache in (self._mapped, self._derived):
            for number in list(cache):
                if number not in numbers:
                    cache.pop(number, None)

    def _of_file(self, segment: Segment) -> CommitTimes:
        return read_times(self._files, self._folder, segment.header)
