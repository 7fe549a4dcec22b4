"""Why a log store is not ready: refused writes, a full disk, maintenance that does not keep up."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from rundlet_server.storage.errors import Unavailable
from rundlet_server.storage.files import DISK_FREE_BYTES_MIN, reported_free_bytes
from rundlet_server.storage.interface import Health
from rundlet_server.storage.log.place import StorePlace
from rundlet_server.storage.log.read.view import View
from rundlet_server.storage.log.write.disk_probe import DiskProbe
from rundlet_server.storage.log.write.free_space import NO_FREE_SPACE
from rundlet_server.storage.log.write.writer import Writer
from rundlet_server.storage.settings import StoreSettings

BACKLOG_MAX_MAINTAINED: Final = 8
"""Sealed segments that may wait for the index files that a maintenance process makes."""


class HealthCheck:
    """Finds out whether a store is ready. Any thread may use it."""

    def __init__(
        self, folder: Path, settings: StoreSettings, writer: Writer, place: StorePlace
    ) -> None:
        self._folder = folder
        self._settings = settings
        self._writer = writer
        self._place = place
        self._probe = DiskProbe(settings.files, folder)

    def health(self, view: View) -> Health:
        """Return the health of the store that ``view`` shows."""
        free_bytes = reported_free_bytes(self._settings.files, self._folder)
        reasons = self._misplaced(view) + self._refusals(view) + _backlog(view)
        if not self._settings.is_read_only and free_bytes is not None:
            reasons += _full_disk(free_bytes)
        return Health(reasons, free_bytes)

    def _misplaced(self, view: View) -> list[str]:
        segment = view.segments.get(view.active.segment)
        try:
            self._place.require()
            if segment is not None:
                self._place.require_same(segment.path, segment.file)
        except Unavailable as ex:
            return [str(ex)]
        except OSError as ex:
            return [f"the folder of the store cannot be looked at: {ex}"]
        return []

    def _refusals(self, view: View) -> list[str]:
        if self._writer.failure is not None and self._probe.succeeds():
            self._writer.failure = None  # the next write would do so, but none may come
        reasons = [self._writer.failure] if self._writer.failure else []
        if self._writer.free_space.is_refused(view):
            reasons.append(NO_FREE_SPACE)
        return reasons


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
