"""The log store: our own append-only log behind the ``Store`` interface."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NoReturn, get_args

from rundlet_server.storage.errors import ReadOnly, StoreError
from rundlet_server.storage.interface import (
    Feature,
    Row,
    StoreInfo,
    Txn,
)
from rundlet_server.storage.log import health
from rundlet_server.storage.log.housekeeping import Housekeeper
from rundlet_server.storage.log.maintain.background import Background
from rundlet_server.storage.log.maintain.bulk_load import load_rows
from rundlet_server.storage.log.maintain.maintainer import Maintainer
from rundlet_server.storage.log.read.keys import KnownKeys
from rundlet_server.storage.log.read.view import View
from rundlet_server.storage.log.reads import LogReads
from rundlet_server.storage.log.timeline import LogTimeline
from rundlet_server.storage.log.wiring import open_parts
from rundlet_server.storage.outcomes.results import Commit
from rundlet_server.storage.reports import Health
from rundlet_server.storage.requests import check_txn
from rundlet_server.storage.settings import StoreSettings

_BACKLOG_MAX: Final = 2
"""Sealed segments without an index file at which this process makes an index file itself.

If a maintenance process should make them, the bound is ``health.BACKLOG_MAX_MAINTAINED``, so that
memory is bounded even if that process fails.
"""
_FEATURES: Final[frozenset[Feature]] = frozenset(get_args(Feature))
COMPACTION_NAME: Final = "rundlet-compaction"
"""The name of the thread that runs a requested compaction."""


class LogStore(LogReads):
    """A store in a folder. Any number of processes may have the same folder open."""

    def __init__(self, folder: Path, settings: StoreSettings) -> None:
        """Open a folder, or make a new store in it.

        Raises:
            Damaged, UnknownFormat: see ``open.recovery``.
            OSError: the folder cannot be used.
        """
        self._settings = settings
        parts = self._parts = open_parts(folder, settings)
        keys = KnownKeys(settings.limits, parts.follower)
        timeline = LogTimeline(folder, settings, parts, keys.encode)
        super().__init__(parts, timeline, keys, settings)
        self._guard = parts.lock.guard
        self._writer = parts.writer
        self._group_commit = parts.group_commit
        self.changes = parts.feed.changes
        self.waiting = parts.waiting
        self.wait = parts.waiting.wait
        self._maintainer = parts.maintainer
        is_inline = settings.maintain_inline
        self._deltas_max = _BACKLOG_MAX if is_inline else health.BACKLOG_MAX_MAINTAINED
        self.info = _info(settings, parts.follower.view)
        self.moment = timeline.moment
        self.get_version = timeline.get_version
        self.history = timeline.history
        self.expired = timeline.expired
        self.retention = timeline.retention
        self.retain = timeline.retain
        self.hold = timeline.hold
        self.erase = timeline.erase
        self.backups = parts.leases
        self._compaction = Background(COMPACTION_NAME)
        self._housekeeper = Housekeeper(
            settings,
            follower=parts.follower,
            writer=parts.writer,
            health=parts.health,
            expire_for_waiters=parts.maintainer.expire_for_waiters,
        )
        parts.eraser.resume()

    def commit(self, txn: Txn) -> Commit:
        """See ``Store.commit``."""
        self._check(txn)
        commit = self._group_commit.commit(txn)
        if len(self._follower.view.deltas) > self._deltas_max:
            self._checkpoint()
        return commit

    def commit_group(self, txns: Sequence[Txn]) -> list[Commit | Exception]:
        """See ``CommitsGroups``."""
        outcomes: list[Commit | Exception | None] = [self._refusal(txn) for txn in txns]
        good = [txn for txn, refusal in zip(txns, outcomes, strict=True) if refusal is None]
        # Emptied below: the traceback of an exception refers to this frame, and to a view.
        decided = deque(self._group_commit.commit_group(good))
        if len(self._follower.view.deltas) > self._deltas_max:
            self._checkpoint()
        return [decided.popleft() if outcome is None else outcome for outcome in outcomes]

    def _refusal(self, txn: Txn) -> Exception | None:
        """Return why a transaction is refused before it is queued; one must not fail the others."""
        try:
            self._check(txn)
        except Exception as ex:
            return ex
        return None

    def _check(self, txn: Txn) -> None:
        if self._settings.is_read_only:
            raise ReadOnly("this store is served read-only")
        check_txn(txn, self._limits, self._encode)
        if self._guard.is_inherited:
            self._guard.require_own()

    def _checkpoint(self) -> None:
        # The commit stands even if this fails; the next one tries again.
        with contextlib.suppress(StoreError, OSError):
            self._maintainer.checkpoint(wait=False)

    def load(self, rows: Sequence[Row]) -> None:
        """See ``Store.load``."""
        if self._settings.is_read_only:
            raise ReadOnly("this store is served read-only")
        self._guard.require_own()
        load_rows(rows, self._settings, self._maintainer.load, self.commit)
        if self._settings.sync != "always":
            self.sync()

    def finish_load(self) -> None:
        """See ``Store.finish_load``: merge its index files, as a read looks into each of them."""
        self._guard.require_own()
        # What was loaded stands even if this fails; maintenance tries again.
        with contextlib.suppress(StoreError, OSError):
            self._maintainer.checkpoint(wait=False)

    def compact(self, *, wait: bool = False) -> None:
        """See ``Store.compact``."""
        if self._settings.is_read_only:
            raise ReadOnly("this store is served read-only")
        self._guard.require_own()
        if wait:
            self._maintainer.compact(thorough=True)
        elif self._settings.maintain_inline:
            self._compaction.request(self._compact_quietly)
        else:
            self._parts.commit_page.compactions_wanted += 1

    def sync(self) -> None:
        """See ``Store.sync``; a store that is only read has nothing to sync."""
        if not self._settings.is_read_only:
            self._writer.sync()

    @property
    def maintainer(self) -> Maintainer:
        """Checkpoints, compaction and expiry of this folder, for the process that maintains it."""
        return self._maintainer

    def health(self) -> Health:
        """See ``Store.health``."""
        self._guard.require_own()
        return self._parts.health.health(self._follower.view)

    def close(self) -> None:
        """See ``Store.close``; in a forked child the store is the parent's, and stays open."""
        if self._guard.is_inherited or not self._housekeeper.stop():
            return
        self._compaction.join()
        self._parts.eraser.join()
        try:
            if self._settings.sync == "interval":
                self.sync()
        finally:
            self._parts.close()

    def __reduce__(self) -> NoReturn:
        """Refuse to be pickled."""
        message = "an open store cannot be sent to a process; send its folder, and open it there"
        raise TypeError(message)

    def _compact_quietly(self) -> None:
        try:
            self._maintainer.compact(thorough=True)
        except (StoreError, OSError) as ex:
            self._writer.failure = f"compaction failed: {ex}"


def _info(settings: StoreSettings, view: View) -> StoreInfo:
    """Return what does not change while the store is open."""
    return StoreInfo(
        "log",
        view.manifest.store_id.hex(),
        settings.is_read_only,
        settings.limits,
        {
            "sync": settings.sync,
            "sync_interval_s": settings.sync_interval_s,
            "segment_bytes_max": settings.segment_bytes_max,
            "segment_records_max": settings.segment_records_max,
            "cache_bytes_max": settings.cache_bytes_max,
        },
        _FEATURES,
    )
