"""The maintenance process of a folder: ``python -m rundlet_server.storage.log.maintenance DIR``.

A server starts it and watches it. It follows the log like any other process, and does what the
``Maintainer`` offers when it is due. It ends when its standard input ends, so it never outlives the
server, however that ended; every job may be interrupted at any place.
"""

from __future__ import annotations

import argparse
import dataclasses
import logging
import os
import select
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TextIO

from rundlet_server.storage.counting.counters import SharedCounters
from rundlet_server.storage.counting.heartbeat import start_heartbeat
from rundlet_server.storage.counting.measures import Measures
from rundlet_server.storage.errors import StoreError
from rundlet_server.storage.files import RealFiles
from rundlet_server.storage.log.maintain.compaction import CompactionResult
from rundlet_server.storage.log.store import LogStore
from rundlet_server.storage.memory.allocator import keep_little_free
from rundlet_server.storage.memory.collector import relax_collector
from rundlet_server.storage.memory.trimming import trim_often
from rundlet_server.storage.notices.messages import write_messages
from rundlet_server.storage.settings import StoreSettings

_log = logging.getLogger("rundlet.maintenance")

_TICK_S: Final = 0.1
_EXPIRE_EVERY_S: Final = 1.0
_COMPACT_EVERY_S: Final = 30.0
_LEASES_EVERY_S: Final = 10.0
_CHECKPOINT_RETRY_S: Final = 1.0
_ERASE_RETRY_S: Final = 10.0
_PAUSES: Final = 10
"""A job that fails pauses at least this many times as long as the failed attempt took."""
_PAUSE_S_MAX: Final = 900.0
"""The longest pause: a compaction may fail after a long time for a reason that soon goes away."""
_NICENESS: Final = 5
"""Requests go first if there is more work than processors. The value is not higher, because this
process holds the writers' lock for moments."""
_IDLE_S: Final = 10.0
"""A store without writes for so long gets its index files merged into one."""


@dataclass(slots=True)
class _Job:
    """An action that is due at regular intervals, or at each tick and finds out if there is work.

    If it fails, it pauses, and the other jobs go on: a compaction of a damaged segment copies much
    before it fails, each time.
    """

    action: Callable[[], object]
    every_s: float = 0.0
    retry_s: float = 0.0
    due_s: float = 0.0

    def tick(self, now_s: float) -> bool:
        """Do the action if it is due; return false if it failed."""
        if now_s < self.due_s:
            return True
        started_s = time.monotonic()
        if self._succeeds():
            self.due_s = now_s + self.every_s
            return True
        took_s = time.monotonic() - started_s
        pause_s = min(took_s * _PAUSES, _PAUSE_S_MAX)
        self.due_s = now_s + took_s + max(self.every_s, self.retry_s, pause_s)
        return False

    def _succeeds(self) -> bool:
        try:
            self.action()
        except (StoreError, OSError) as ex:
            # Whatever it is, reads and writes fail on it too and report it; try again.
            _log.warning("maintenance of the store failed and will be tried again: %s", ex)
        except Exception:
            # If it ended the process, the next one would fail likewise, at once and without a pause
            _log.exception("maintenance of the store failed unexpectedly and will be tried again")
        else:
            return True
        return False


class MaintenanceLoop:
    """Decides when which job is due for one store."""

    def __init__(self, store: LogStore, measures: Measures | None = None) -> None:
        self._store = store
        self._measures = measures or Measures()
        self._maintainer = store.maintainer
        self._jobs = (
            _Job(self._checkpoint, retry_s=_CHECKPOINT_RETRY_S),
            _Job(self._compact_if_wanted, retry_s=_COMPACT_EVERY_S),
            _Job(self._maintainer.expire, every_s=_EXPIRE_EVERY_S),
            _Job(self._compact_if_worth_it, every_s=_COMPACT_EVERY_S),
            _Job(self._merge_if_idle, every_s=_IDLE_S),
            _Job(store.backups.remove_ended, every_s=_LEASES_EVERY_S),
            _Job(self._remove_erased, retry_s=_ERASE_RETRY_S),
        )
        self._revision_seen = -1

    def tick(self, now_s: float) -> None:
        """Do what is due; ``now_s`` is a monotonic time."""
        for job in self._jobs:
            if not job.tick(now_s):
                self._measures.maintenance_failed()

    def _checkpoint(self) -> None:
        if self._maintainer.has_backlog:
            self._maintainer.checkpoint()

    def _compact_if_wanted(self) -> None:
        if self._maintainer.is_compaction_wanted:
            _report(self._maintainer.compact(thorough=True))

    def _compact_if_worth_it(self) -> None:
        if self._maintainer.is_compaction_worth_it():
            _report(self._maintainer.compact(thorough=self._maintainer.is_space_short))

    def _merge_if_idle(self) -> None:
        revision = self._store.stats().revision
        if revision == self._revision_seen:
            self._maintainer.merge_all()
        self._revision_seen = revision

    def _remove_erased(self) -> None:
        if self._maintainer.has_erased:
            self._maintainer.remove_erased()


class _FilesOfStore(RealFiles):
    """The file system, but it never makes the folder of the store, which a user may remove."""

    def __init__(self, store: Path) -> None:
        self._store = store

    def make_folder(self, path: Path) -> None:
        """See ``Files.make_folder``; if the folder of the store is missing, a user removed it."""
        if path != self._store:
            super().make_folder(path)


def run(store: LogStore, lifeline: TextIO, measures: Measures) -> None:
    """Maintain a store until ``lifeline`` reaches its end."""
    removed = store.maintainer.remove_orphans()
    if removed:
        _log.info("removed orphaned files of a crash: %s", ", ".join(removed))
    loop = MaintenanceLoop(store, measures)
    while not _has_ended(lifeline, _TICK_S):
        loop.tick(time.monotonic())


def _has_ended(lifeline: TextIO, timeout_s: float) -> bool:
    readable, _, _ = select.select([lifeline], [], [], timeout_s)
    return bool(readable) and not os.read(lifeline.fileno(), 1)


def _report(result: CompactionResult) -> None:
    _log.info(
        "compacted %d segments to %d and %d bytes to %d; dropped %d versions%s",
        result.segments_before,
        result.segments_after,
        result.bytes_before,
        result.bytes_after,
        result.versions_dropped,
        "; the disk has no space to do more" if result.is_cut_short else "",
    )


def main(arguments: list[str] | None = None) -> None:
    """Run the process."""
    parser = argparse.ArgumentParser(
        prog="python -m rundlet_server.storage.log.maintenance", description=__doc__
    )
    parser.add_argument("folder", type=Path, help="the store's folder")
    parser.add_argument("--settings", default="{}", help="from StoreSettings.to_json")
    parser.add_argument("--counters", type=Path, help="folder of the server's counters")
    options = parser.parse_args(arguments)
    write_messages(level=logging.INFO, form="%(name)s: %(message)s")
    folder: Path = options.folder
    settings = dataclasses.replace(
        StoreSettings.from_json(options.settings), files=_FilesOfStore(folder)
    )
    if not folder.is_dir():
        return  # the server was killed and its private folder removed: do not make a new one
    if options.counters is not None:
        shared = SharedCounters(options.counters, "maintenance")
        start_heartbeat(shared)
        settings = dataclasses.replace(settings, measures=Measures(shared))
        if shared.has_predecessor:
            settings.measures.maintenance_failed()
    os.nice(_NICENESS)
    keep_little_free()
    relax_collector()
    trim_often()
    try:
        store = LogStore(folder, settings)
    except FileNotFoundError:
        if folder.is_dir():
            raise
        return  # removed meanwhile
    try:
        run(store, sys.stdin, settings.measures)
    except KeyboardInterrupt:
        pass  # a terminal interrupts the whole group; the server ends this process in its order
    finally:
        store.close()


if __name__ == "__main__":
    main()
