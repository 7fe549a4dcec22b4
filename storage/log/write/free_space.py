"""Keep part of the disk free, so that a full disk can be emptied again.

A deletion is a write too, and compaction copies live records before it removes dead ones. A store
that took values up to the last byte could do neither, and would stay full for ever. So:

* the store refuses values while there is still space (``_RESERVE_MIN_BYTES`` and more) for
  deletions, for an index file with all keys, and for rewriting some segments;
* the fuller the disk, the smaller the segments (``segment_bytes_max``), so that compaction can
  rewrite the last ones within that space. The space that it reclaims then allows larger segments.
"""

from __future__ import annotations

import resource
import sys
import time
from pathlib import Path
from typing import Final

from rundlet_server.storage.errors import DiskFull
from rundlet_server.storage.log.read.view import View
from rundlet_server.storage.settings import StoreSettings

NO_FREE_SPACE: Final = (
    "values are refused: the rest of the disk is kept for deletions and compaction"
)
_RESERVE_MIN_BYTES: Final = 1024 * 1024
_RESERVE_MAX_BYTES: Final = 1024 * 1024 * 1024
_LOG_RESERVE_MAX_BYTES: Final = 64 * 1024 * 1024
_LOG_SHARE: Final = 8
"""An eighth of the log is kept free, within the bounds above."""
_INDEX_BYTES_PER_RECORD: Final = 100
"""For a record that is not indexed yet; more if keys are longer than a UUID."""
_COMMON_VALUE_BYTES: Final = 1024 * 1024
"""Space is short if a value of this size would be refused; larger ones may be refused earlier."""
_SEGMENT_MIN_BYTES: Final = 256 * 1024
_SEGMENT_SHARE: Final = 4
"""A segment is at most a quarter of the free space."""
_EVERY_S: Final = 0.1
"""How often the store asks for the free space while there is plenty."""
_PLENTY_BYTES: Final = 4 * _RESERVE_MAX_BYTES
"""More than can be written until the store asks again."""
_GROWTH_WAIT_S: Final = 3.0


class FreeSpace:
    """The free space of the disk with a store's folder, as one process sees it."""

    def __init__(self, folder: Path, settings: StoreSettings) -> None:
        self._folder = folder
        self._settings = settings
        self._has_refused = False
        self._free_bytes = 0
        self._next_s = 0.0
        self._file_bytes_max = _file_bytes_max()
        self._segment_bytes_max = _SEGMENT_MIN_BYTES

    @property
    def free_bytes(self) -> int:
        """The free bytes; those of a moment ago if that was plenty."""
        now_s = time.monotonic()
        if self._free_bytes < _PLENTY_BYTES or now_s >= self._next_s:
            self._look(now_s)
        return self._free_bytes

    @property
    def is_plenty(self) -> bool:
        """Whether more was free than any transaction needs, when last looked at."""
        return self._free_bytes >= _PLENTY_BYTES

    @property
    def segment_bytes_max(self) -> int:
        """The size in bytes from which a segment is sealed.

        It is at most half of ``ulimit -f``, as one batch seldom needs more than the other half.
        """
        now_s = time.monotonic()
        if self._free_bytes < _PLENTY_BYTES or now_s >= self._next_s:
            self._look(now_s)
        return self._segment_bytes_max

    def require(self, view: View, size: int) -> None:
        """Refuse values of ``size`` bytes if they would use space that is kept free.

        Raises:
            DiskFull: the rest of the disk is kept free; nothing was written.
        """
        if not self.accepts(view, size):
            self._has_refused = True
            self._settings.measures.refused(self._settings.clock())
            raise DiskFull(f"{NO_FREE_SPACE}; the write was not applied")

    def accepts(self, view: View, size: int) -> bool:
        """Return whether values of ``size`` bytes would leave the reserve untouched."""
        if not self._suffices(view, size):
            return False
        self._has_refused = False
        return True

    def is_short(self, view: View) -> bool:
        """Return whether values are refused, or will be soon."""
        return not self._suffices(view, _COMMON_VALUE_BYTES)

    def is_refused(self, view: View) -> bool:
        """Return whether this process refused the last value, and space is still short."""
        return self._has_refused and self.is_short(view)

    def grows_above(self, free_bytes: int) -> bool:
        """Wait a moment until more bytes than this are free; return whether they are.

        Other processes may hold files open that compaction has removed.
        """
        until_s = time.monotonic() + _GROWTH_WAIT_S
        while self.free_bytes <= free_bytes:
            if time.monotonic() >= until_s:
                return False
            time.sleep(_EVERY_S)
        return True

    def _look(self, now_s: float) -> None:
        try:
            self._free_bytes = self._settings.files.free_bytes(self._folder)
        except OSError:
            self._free_bytes = _PLENTY_BYTES  # if the disk is full, the write itself fails
        self._next_s = now_s + _EVERY_S
        share = max(_SEGMENT_MIN_BYTES, self._free_bytes // _SEGMENT_SHARE)
        wanted = self._settings.segment_bytes_max
        self._segment_bytes_max = min(wanted, share, self._file_bytes_max // 2)

    def _suffices(self, view: View, size: int) -> bool:
        free_bytes = self.free_bytes - size
        return free_bytes >= _RESERVE_MAX_BYTES or free_bytes >= _reserve(view)


def _file_bytes_max() -> int:
    """Return how large this process may make a file (``ulimit -f``)."""
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)[0]
    return sys.maxsize if limit == resource.RLIM_INFINITY else limit


def _reserve(view: View) -> int:
    """Return how many bytes are kept free."""
    log_reserve = min(max(view.log_bytes // _LOG_SHARE, _RESERVE_MIN_BYTES), _LOG_RESERVE_MAX_BYTES)
    index_reserve = view.manifest.index_bytes + view.unindexed_count * _INDEX_BYTES_PER_RECORD
    return min(log_reserve + index_reserve, _RESERVE_MAX_BYTES)
