"""The past of a log store: moments, versions, retention, holds."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from rundlet_server.storage.errors import ReadOnly
from rundlet_server.storage.interface import Entry
from rundlet_server.storage.large_values import LargeValue
from rundlet_server.storage.log.holds import Hold, Holds
from rundlet_server.storage.log.read.answers import check_moment, key_history
from rundlet_server.storage.log.read.expired import expired_keys
from rundlet_server.storage.log.read.past import read_version
from rundlet_server.storage.log.read.times import moment_at
from rundlet_server.storage.log.read.view import View
from rundlet_server.storage.log.wiring import Parts
from rundlet_server.storage.requests import check_retention
from rundlet_server.storage.settings import StoreSettings
from rundlet_server.storage.timeline import At, Erased, History, Moment, Retention

_Answer = TypeVar("_Answer")


class LogTimeline:
    """Reads at any moment, for one process. All methods may be called from any thread."""

    def __init__(
        self, folder: Path, settings: StoreSettings, parts: Parts, encode: Callable[[str], bytes]
    ) -> None:
        """Join the parts.

        Args:
            folder: of the store.
            settings: of the store.
            parts: of the store.
            encode: returns the UTF-8 bytes of a key that may be read.
        """
        self._is_read_only = settings.is_read_only
        self._parts = parts
        self._encode = encode
        self._holds = Holds(settings.files, folder)

    def read(self, at: At | None, read: Callable[[View], _Answer]) -> _Answer:
        """Read from a view that shows a moment, or all of the present; see ``Follower.read``."""

        def checked(view: View) -> _Answer:
            check_moment(view, at)
            return read(view)

        return self._parts.follower.read(checked)

    def moment(self, time_us: int) -> Moment:
        """See ``Store.moment``."""
        clock = self._parts.clock
        return self.read(None, lambda view: moment_at(view, time_us, clock.now_us()))

    def get_version(self, key: str, version: int) -> Entry | LargeValue | None:
        """See ``Store.get_version``."""
        encoded = self._encode(key)
        return self.read(None, lambda view: read_version(view, key, encoded, version))

    def history(self, key: str, *, limit: int = 1_000, before: int | None = None) -> History:
        """See ``Store.history``."""
        encoded = self._encode(key)
        return self.read(None, lambda view: key_history(view, encoded, limit=limit, before=before))

    def expired(self, after_us: int, at: Moment) -> list[str]:
        """See ``Store.expired``."""
        return self.read(at, lambda view: expired_keys(view, at, after_us))

    def retention(self) -> Retention:
        """See ``Store.retention``."""
        return self._parts.follower.refresh().manifest.retention

    def retain(self, retention: Retention) -> None:
        """See ``Store.retain``."""
        if self._is_read_only:
            raise ReadOnly("this store is served read-only")
        check_retention(retention)
        self._parts.lock.guard.require_own()
        self._parts.writer.retain(retention)

    def erase(self, key: str, *, wait_s: float = 0) -> Erased:
        """See ``Store.erase``."""
        if self._is_read_only:
            raise ReadOnly("this store is served read-only")
        self._parts.lock.guard.require_own()
        return self._parts.eraser.erase(self._encode(key), wait_s)

    @contextlib.contextmanager
    def hold(self, revision: int) -> Iterator[None]:
        """See ``Store.hold``."""
        hold = None if self._is_read_only else self._take(revision)
        try:
            self._parts.follower.refresh()
            self._parts.follower.read(lambda view: check_moment(view, revision))
            yield
        finally:
            if hold is not None:
                self._holds.release(hold)

    def _take(self, revision: int) -> Hold | None:
        """Take a hold; return ``None`` if the disk has no room for it, and let the read go on."""
        try:
            with self._parts.lock:
                return self._holds.take(revision)
        except OSError:
            return None
