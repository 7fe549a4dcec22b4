"""Background work on a folder: index files, compaction, expiry, removal of orphaned files.

One process at a time does it for a folder (the lock file ``MAINTENANCE``): the maintenance process
of a server or, if there is none, any process that has the store open.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Final

from rundlet_server.storage.errors import DiskFull, StoreError
from rundlet_server.storage.forks import ProcessGuard
from rundlet_server.storage.log.format.commit_page import CommitPage
from rundlet_server.storage.log.format.locator import pack_position
from rundlet_server.storage.log.holds import Holds
from rundlet_server.storage.log.index.estimates import record_bytes
from rundlet_server.storage.log.maintain.bulk_load import BulkLoader
from rundlet_server.storage.log.maintain.checkpoint import Checkpointer
from rundlet_server.storage.log.maintain.chunk import Chunk
from rundlet_server.storage.log.maintain.compaction import CompactionResult, Compactor
from rundlet_server.storage.log.maintain.erasure import EndLeases
from rundlet_server.storage.log.maintain.horizon import Horizon, OutdatedError, horizon_of
from rundlet_server.storage.log.open.folder_lock import MAINTENANCE_LOCK_NAME
from rundlet_server.storage.log.open.orphans import remove_orphans
from rundlet_server.storage.log.read.clock import SharedClock
from rundlet_server.storage.log.read.expired import due
from rundlet_server.storage.log.read.follower import Follower
from rundlet_server.storage.log.read.view import View
from rundlet_server.storage.log.write.expire import Expire
from rundlet_server.storage.log.write.writer import Writer
from rundlet_server.storage.settings import StoreSettings

DEAD_SHARE_THOROUGH: Final = 0.05
DEAD_SHARE: Final = 0.4
_DEAD_BYTES_MIN: Final = 64 * 1024 * 1024
"""With fewer dead bytes, compaction runs only on request."""
_GROWTH_MIN: Final = 0.1
_LOADED_INDEXES_MAX: Final = 16
"""Index files there may be before a bulk load merges them."""
_EXPIRE_KEYS_MAX: Final = 1_000
"""Expiries logged in one commit."""


class Maintainer:
    """Maintains one folder. All methods may be called from any thread."""

    def __init__(
        self,
        folder: Path,
        settings: StoreSettings,
        *,
        commit_page: CommitPage,
        follower: Follower,
        writer: Writer,
        clock: SharedClock,
        guard: ProcessGuard,
        end_leases: EndLeases,
    ) -> None:
        self._folder = folder
        self._settings = settings
        self._commit_page = commit_page
        self._follower = follower
        self._writer = writer
        self._clock = clock
        self._guard = guard
        self._holds = Holds(settings.files, folder)
        self._last_pass = (0, -1)
        self._threads = threading.Lock()
        self._lock_file = settings.files.open(folder / MAINTENANCE_LOCK_NAME, create=True)
        self._checkpointer = Checkpointer(settings.files, folder, follower=follower, writer=writer)
        self._compactor = Compactor(
            settings.files,
            folder,
            follower=follower,
            writer=writer,
            checkpointer=self._checkpointer,
            end_leases=end_leases,
        )
        self._loader = BulkLoader(follower=follower, writer=writer, checkpointer=self._checkpointer)

    @property
    def is_compaction_wanted(self) -> bool:
        """Whether a compaction was requested that no process has finished."""
        return self._commit_page.compactions_wanted != self._commit_page.compactions_done

    @property
    def has_backlog(self) -> bool:
        """Whether a sealed segment waits for its index file."""
        return len(self._follower.refresh().deltas) > 1

    def checkpoint(self, *, wait: bool = True) -> int:
        """Write index files for sealed segments and merge them if they have grown.

        Args:
            wait: block until a running pass ends; otherwise return at once.

        Returns:
            The number of segments that got an index file.
        """
        with self._exclusive(wait=wait) as is_ours:
            if not is_ours:
                return 0
            started_ns = time.perf_counter_ns()
            count = self._checkpointer.checkpoint()
            self._checkpointer.add_times()
            merged = self._merge()
            if count or merged:
                self._settings.measures.checkpointed(started_ns)
            return count

    def load(self, chunk: Chunk) -> bool:
        """Store a chunk of a bulk load; do nothing and return false if only commits can store it.

        Raises:
            Unavailable, DiskFull, OutcomeUnknown: see ``BulkLoader.load``.
        """
        with self._exclusive(wait=False) as is_ours:
            if not is_ours or not self._loader.load(chunk):
                return False
            # The chunk is stored even if this fails; the next one tries again.
            with contextlib.suppress(StoreError, OSError):
                if len(self._follower.refresh().indexes) > _LOADED_INDEXES_MAX:
                    self._merge()
            return True

    def compact(self, *, thorough: bool) -> CompactionResult:
        """Reclaim space from deleted and overwritten values.

        Args:
            thorough: include the active segment, and rewrite segments with little to gain, too.
        """
        with self._exclusive(wait=True):
            started_ns = time.perf_counter_ns()
            wanted = self._commit_page.compactions_wanted
            self._remove_orphans()
            self._expire_all()
            if thorough:
                self._writer.seal()
            self._checkpointer.checkpoint()
            dead_share_min = DEAD_SHARE_THOROUGH if thorough else DEAD_SHARE
            while True:
                horizon = self._horizon()
                try:
                    result = self._compact_in_passes(horizon, dead_share_min)
                except OutdatedError:
                    self._remove_orphans()
                    continue
                break
            self._last_pass = (self._follower.view.manifest.sealed_bytes, horizon.revision)
            if thorough:
                self._commit_page.compactions_done = wanted
            self._settings.measures.compacted(
                started_ns, bytes_read=result.bytes_before, bytes_written=result.bytes_after
            )
            return result

    @property
    def has_erased(self) -> bool:
        """Whether bytes of erased values may be left."""
        return bool(self._follower.refresh().erased)

    def remove_erased(self) -> None:
        """Rewrite segments that hold bytes of erased keys; keep all else, old versions included.

        Raises:
            DiskFull: the disk has no space for the copies; the next call continues.
        """
        with self._exclusive(wait=True):
            if not self.has_erased:
                return
            self._remove_orphans()
            self._writer.seal()
            self._checkpointer.checkpoint()
            while True:
                manifest = self._follower.refresh().manifest
                retention = manifest.retention
                keeping = (retention.keep_versions, retention.keep_for_s, self._holds)
                horizon = Horizon(manifest.oldest, *keeping)
                try:
                    result = self._compact_in_passes(horizon, None)
                except OutdatedError:
                    self._remove_orphans()
                    continue
                break
            if result.is_cut_short:
                raise DiskFull("the disk has no space to remove what was erased")

    def _compact_in_passes(
        self, horizon: Horizon, dead_share_min: float | None
    ) -> CompactionResult:
        """Do as many passes as the free space allows, as long as it grows with each of them."""
        free_space = self._writer.free_space
        result = CompactionResult(is_cut_short=True)
        free_bytes = -1
        while result.is_cut_short and free_space.grows_above(free_bytes):
            free_bytes = free_space.free_bytes
            done = self._compactor.compact(
                horizon,
                dead_share_min=dead_share_min,
                segment_bytes_max=free_space.segment_bytes_max,
            )
            result += done
        return result

    @property
    def is_space_short(self) -> bool:
        """Whether values are refused, or will be soon, until more of the disk is free."""
        return self._writer.free_space.is_short(self._follower.view)

    def is_compaction_worth_it(self) -> bool:
        """Return whether so much of the log seems dead that a pass is due.

        An estimate from the totals: what live keys and values need, against the size of the log. A
        pass that could not reclaim what it was expected to (because versions are still kept) is not
        repeated before the horizon has moved and the log has grown. On a full disk even a little is
        worth a pass.
        """
        view = self._follower.refresh()
        log_bytes = view.manifest.sealed_bytes
        live_bytes = record_bytes(view.head.totals, view.indexes)
        horizon = self._horizon().revision
        before_bytes, before_horizon = self._last_pass
        if self.is_space_short and log_bytes - live_bytes > DEAD_SHARE_THOROUGH * log_bytes:
            return (log_bytes, horizon) != self._last_pass
        if log_bytes - live_bytes < DEAD_SHARE * log_bytes + _DEAD_BYTES_MIN:
            return False
        return horizon > before_horizon and log_bytes > before_bytes * (1 + _GROWTH_MIN)

    def merge_all(self) -> int:
        """Merge all index files into one; return how many there were (0: nothing to do)."""
        with self._exclusive(wait=False) as is_ours:
            if not is_ours or len(self._follower.refresh().indexes) < 2:
                return 0
            return self._merge(all_files=True)

    def expire(self) -> int:
        """Log the expiry of all keys whose time has come; return how many."""
        with self._exclusive(wait=False) as is_ours:
            return self._expire_all() if is_ours else 0

    def expire_for_waiters(self) -> int:
        """Do as ``expire`` does if a process waits for changes: an expiry is one."""
        return self.expire() if self._commit_page.waiters & 1 else 0

    def remove_orphans(self) -> list[str]:
        """Remove files that a crash has orphaned; return their names."""
        with self._exclusive(wait=True):
            return self._remove_orphans()

    def close(self) -> None:
        """Close the lock file."""
        self._lock_file.close()

    def _remove_orphans(self) -> list[str]:
        with self._writer.exclusive() as view:
            return remove_orphans(self._settings.files, self._folder, view.manifest)

    def _expire_all(self) -> int:
        # Read before the view is taken, so that the view has every expiry up to it.
        through_us = self._commit_page.expired_through_us
        view = self._follower.current()
        head = view.head
        waiting = due(view, head, through_us, self._clock.now_us())
        count = 0
        while expired := [
            Expire(key.decode(), locator.revision)
            for key, locator in islice(waiting, _EXPIRE_KEYS_MAX)
        ]:
            count += self._expire(expired)
            if self.has_backlog:
                self._checkpointer.checkpoint()
        # Not the present time: an in-flight commit may have begun, and expired, before it.
        self._commit_page.expired_through_us = head.time_us
        return count

    def _expire(self, expired: Sequence[Expire]) -> int:
        with self._writer.exclusive() as view:
            batch = self._writer.begin(view)
            count = batch.expire(expired)
            self._writer.write(view, batch.frames)
            return count

    def _merge(self, *, all_files: bool = False) -> int:
        try:
            return self._checkpointer.merge(self._horizon(), all_files=all_files)
        except OutdatedError:
            return 0  # the next checkpoint tries again

    def _horizon(self) -> Horizon:
        view = self._follower.refresh()
        durable = self._durable_revision(view)
        with self._writer.lock:
            held = self._holds.lowest()
        now_us = self._clock.now_us()
        return horizon_of(view, self._holds, held=held, now_us=now_us, durable=durable)

    def _durable_revision(self, view: View) -> int:
        # In this order: the active segment goes at least as far as this head.
        revision = view.head.revision
        end = pack_position(view.active.segment, view.active.offset)
        if (self._commit_page.durable or 0) >= end:
            return revision
        return view.manifest.active.last_revision  # what is sealed was synced before

    @contextlib.contextmanager
    def _exclusive(self, *, wait: bool) -> Iterator[bool]:
        """Hold the maintenance lock; yield false if it is taken and ``wait`` is false."""
        self._guard.require_own()
        if not self._threads.acquire(blocking=wait):
            yield False
            return
        try:
            is_ours = self._lock_file.lock(wait=wait)
            try:
                if is_ours:
                    self._writer.settle()
                yield is_ours
            finally:
                if is_ours:
                    self._lock_file.unlock()
        finally:
            self._threads.release()
