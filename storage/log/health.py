"""Find out why a log store is not ready, or needs an operator.

It is not ready if its folder was replaced, if writes are refused, if the disk is full, or if
maintenance does not keep up. If the clock was far ahead once, the store stays ready, but no key
expires until it catches up.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from rundlet_server.storage.bounds import CLOCK_AHEAD_S_MAX
from rundlet_server.storage.errors import Unavailable
from rundlet_server.storage.files import DISK_FREE_BYTES_MIN, reported_free_bytes
from rundlet_server.storage.log.format.commit_page import CommitPage
from rundlet_server.storage.log.format.locator import segment_of
from rundlet_server.storage.log.place import StorePlace
from rundlet_server.storage.log.read.clock import SharedClock
from rundlet_server.storage.log.read.view import View
from rundlet_server.storage.log.write.disk_probe import DiskProbe
from rundlet_server.storage.log.write.free_space import NO_FREE_SPACE
from rundlet_server.storage.log.write.writer import Writer
from rundlet_server.storage.reports import Health
from rundlet_server.storage.settings import StoreSettings

BACKLOG_MAX_MAINTAINED: Final = 8
"""Sealed segments that may wait for the index files that a maintenance process makes."""


class HealthCheck:
    """Finds out whether a store is ready. Any thread may use it."""

    def __init__(
        self,
        folder: Path,
        settings: StoreSettings,
        *,
        commit_page: CommitPage,
        writer: Writer,
        place: StorePlace,
        clock: SharedClock,
    ) -> None:
        self._folder = folder
        self._settings = settings
        self._commit_page = commit_page
        self._writer = writer
        self._place = place
        self._clock = clock
        self._probe = DiskProbe(settings.files, folder)

    def health(self, view: View) -> Health:
        """Return the health of the store that ``view`` shows."""
        free_bytes = reported_free_bytes(self._settings.files, self._folder)
        self._forget_failure()
        reasons = self.refusals(view) + _backlog(view)
        if not self._settings.is_read_only and free_bytes is not None:
            reasons += _full_disk(free_bytes)
        return Health(reasons, free_bytes, self.late_expiry(), self._clock.ahead_s())

    def late_expiry(self) -> list[str]:
        """Return the warning that no key expires, if the store's time is far ahead."""
        ahead_s = self._clock.ahead_s()
        if ahead_s <= CLOCK_AHEAD_S_MAX:
            return []
        return [
            f"the store's time is {ahead_s:.0f} s ahead of this machine's clock, which was ahead"
            " once or is behind now: no key expires and no history is dropped until it catches up"
        ]

    def refusals(self, view: View) -> list[str]:
        """Return why writes are refused, if they are."""
        reasons = [f"writes are refused: {reason}" for reason in self.misplaced(view)]
        if self._writer.failure is not None:
            reasons.append(self._writer.failure)
        if self._writer.free_space.is_refused(view):
            reasons.append(NO_FREE_SPACE)
        return reasons

    def misplaced(self, view: View) -> list[str]:
        """Return why writes are refused, if the folder no longer holds the store of ``view``."""
        try:
            self._place.look()
            self._look_at_active(view)
        except Unavailable as ex:
            return [str(ex)]
        except OSError as ex:
            return [f"the folder of the store cannot be looked at: {ex}"]
        return []

    def _look_at_active(self, view: View) -> None:
        """Look at the segment that the log ends in.

        The view may be older than the log. Once the log goes on in another segment, compaction may
        remove this one, even while it is looked at.
        """
        segment = view.segments.get(view.active.segment)
        if segment is None or not self._is_active(segment.number):
            return
        try:
            self._place.look(segment.path, segment.file)
        except Unavailable:
            if self._is_active(segment.number):
                raise
            self._place.look()  # forget the segment

    def _is_active(self, number: int) -> bool:
        published = self._commit_page.published
        return published is not None and segment_of(published) == number

    def _forget_failure(self) -> None:
        """Forget that a write has failed if the disk takes writes again."""
        if self._writer.failure is not None and self._probe.succeeds():
            self._writer.failure = None  # the next write would do so, but none may come


def _backlog(view: View) -> list[str]:
    waiting = len(view.deltas) - 1
    if waiting <= BACKLOG_MAX_MAINTAINED:
        return []
    return [
        f"{waiting} full segments wait for their index files, more than the"
        f" {BACKLOG_MAX_MAINTAINED} there should be: maintenance does not keep up"
    ]


def _full_disk(free_bytes: int) -> list[str]:
    if free_bytes >= DISK_FREE_BYTES_MIN:
        return []
    return [
        f"the disk is full: {free_bytes} bytes are free; writes are refused, or will be soon,"
        " until there is space again"
    ]
