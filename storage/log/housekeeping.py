"""The thread that keeps an open store in order between requests."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Final

from rundlet_server.storage.errors import StoreError
from rundlet_server.storage.log.health import HealthCheck
from rundlet_server.storage.log.read.follower import Follower
from rundlet_server.storage.log.write.writer import Writer
from rundlet_server.storage.settings import StoreSettings

_EVERY_S: Final = 1.0
_PAUSE_SHARE_MIN: Final = 0.1
"""If a sync takes longer than the interval, the pause is still this share of the interval."""

_log = logging.getLogger("rundlet.store")


class Housekeeper:
    """Follows the log, verifies index files, syncs by intervals, and frees memory in between.

    Without a maintenance process, it logs expiries as long as a process waits for changes, because
    an expiry is a change.

    It also checks for states that no request would notice, and logs when each begins and ends.
    """

    def __init__(
        self,
        settings: StoreSettings,
        *,
        follower: Follower,
        writer: Writer,
        health: HealthCheck,
        expire_for_waiters: Callable[[], object],
    ) -> None:
        """Start the thread."""
        self._expire_for_waiters = expire_for_waiters
        self._is_expiring = settings.maintain_inline and not settings.is_read_only
        self._follower = follower
        self._writer = writer
        self._health = health
        self._is_refusing = self._is_late = False
        self._is_syncing = settings.sync == "interval" and not settings.is_read_only
        self._interval_s = min(_EVERY_S, settings.sync_interval_s)
        self._next_sync_s = 0.0
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="rundlet-housekeeping", daemon=True)
        self._thread.start()

    def stop(self) -> bool:
        """Stop the thread and wait until it has ended; return false if it was stopped before."""
        if self._stopping.is_set():
            return False
        self._stopping.set()
        self._thread.join()
        return True

    def _run(self) -> None:
        while True:
            for task in (self._report, self._sync_if_due, self._keep_in_order):
                self._do(task)
            if self._follower.disposal.run(self._stopping, self._pause_s()):
                return

    def _do(self, task: Callable[[], None]) -> None:
        """Do a task; if it fails, the others are still done, and this one again next time."""
        try:
            task()
        except (StoreError, OSError):
            pass  # Whatever fails, the next read or write fails on it too and can report it.
        except Exception:
            _log.exception("the housekeeping of the store failed unexpectedly")

    def _report(self) -> None:
        """Log the states that have begun or ended since the last check."""
        refusals, late = self._health.refusals(self._follower.view), self._health.late_expiry()
        if refusals and not self._is_refusing:
            _log.warning("%s", refusals[0])
        if self._is_refusing and not refusals:
            _log.warning("writes are accepted again")
        if late and not self._is_late:
            _log.warning("%s", late[0])
        self._is_refusing, self._is_late = bool(refusals), bool(late)

    def _pause_s(self) -> float:
        if not self._is_syncing:
            return self._interval_s
        return max(self._next_sync_s - time.monotonic(), self._interval_s * _PAUSE_SHARE_MIN)

    def _keep_in_order(self) -> None:
        """Load new index files, and verify the blocks that no read has touched yet."""
        view = self._follower.refresh()
        if self._is_expiring:
            self._expire_for_waiters()
        for index in view.indexes:
            index.verify(self._is_stopped_between_blocks)

    def _is_stopped_between_blocks(self) -> bool:
        """Sync if it is time to, as a large index file takes seconds to verify."""
        self._sync_if_due()
        return self._stopping.is_set()

    def _sync_if_due(self) -> None:
        now_s = time.monotonic()
        if self._is_syncing and now_s >= self._next_sync_s:
            self._next_sync_s = now_s + self._interval_s
            self._writer.sync()
