"""Repair a store: keep everything that is whole, and report what is lost.

A folder in which nothing is wrong is left alone. Otherwise a repair has these steps; a process may
die between any two of them:

1. read every segment, whole or not; find the whole frames behind damage, and in damaged frames
   the records that are whole by themselves (of a damaged commit some may be lost and others kept);
2. leave whole segments as they are. Write damaged ones anew from what is left, and so those whose
   revisions overlap, as one: a crash leaves the inputs of a compaction beside its outputs, and
   together they hold all that is needed (see ``open.orphans``);
3. keep deleted what was deleted, if an index file still knows of a delete that is lost;
4. build the index anew from the log, and count the totals;
5. make a new, empty active segment; sync all of it;
6. move the originals of what is replaced into a folder of their own, ``repair-<n>``;
7. install a new manifest, with a new store id and a gap in the revisions: no revision and no ETag
   comes back with another value.

The manifest may be missing: then the segments themselves give their order.
"""

from __future__ import annotations

import contextlib
import itertools
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from rundlet_server.storage.errors import Damaged, Unavailable
from rundlet_server.storage.files import File, Files, read_whole, replace_file
from rundlet_server.storage.interface import EventKind
from rundlet_server.storage.log.check.opened import Problem
from rundlet_server.storage.log.check.rebuild import IndexBuilder, count_totals
from rundlet_server.storage.log.check.verify import verify
from rundlet_server.storage.log.format import commit_page
from rundlet_server.storage.log.format import manifest as manifests
from rundlet_server.storage.log.format.commit_page import CommitPage
from rundlet_server.storage.log.format.frame import Totals
from rundlet_server.storage.log.format.locator import pack_position
from rundlet_server.storage.log.format.manifest import (
    IndexState,
    Manifest,
    SegmentState,
    read_manifest,
    write_manifest,
)
from rundlet_server.storage.log.format.names import (
    INDEX_SUFFIX,
    SEGMENT_SUFFIX,
    index_name,
    index_numbers,
)
from rundlet_server.storage.log.format.record import KIND_NAMES
from rundlet_server.storage.log.format.segment import APPENDED, HEADER_SIZE, Segment, SegmentHeader
from rundlet_server.storage.log.index.delta import Delta
from rundlet_server.storage.log.index.writer import write_index
from rundlet_server.storage.log.open.folder_lock import LOCK_NAME, MAINTENANCE_LOCK_NAME
from rundlet_server.storage.log.open.recovery import REVISION_GAP, may_hold_commits
from rundlet_server.storage.log.repair.known_versions import KnownVersion
from rundlet_server.storage.log.repair.log import LogRepair, next_segment
from rundlet_server.storage.log.repair.sources import Loss
from rundlet_server.storage.settings import StoreSettings


class LostVersion(NamedTuple):
    """A version that an index file knows of and that the log no longer holds."""

    key: str
    revision: int
    kind: EventKind


@dataclass(slots=True)
class RepairReport:
    """What was wrong, what is lost, what is kept.

    Attributes:
        problems: as ``verify`` finds them; if empty, nothing was changed.
        losses: parts of files that could not be read.
        lost_versions: versions that were in them, as far as an index file tells; the key now has
            the value before, if there is one.
        deletes_kept: deletes and expiries that were in them and could be written again.
        record_count, key_count: of the repaired store.
        originals: the folder that keeps the files that were replaced.
    """

    problems: list[Problem]
    losses: list[Loss] = field(default_factory=list)
    lost_versions: list[LostVersion] = field(default_factory=list)
    deletes_kept: int = 0
    record_count: int = 0
    key_count: int = 0
    originals: Path | None = None


def repair(path: Path, settings: StoreSettings | None = None) -> RepairReport:
    """Make a damaged store whole again from what is left; no process may have it open.

    Raises:
        FileNotFoundError: there is no store in this folder.
        UnknownFormat: another release wrote the store.
        Unavailable: another process has the store open.
    """
    settings = settings or StoreSettings()
    with _alone(settings.files, path):
        problems = verify(path, settings).problems
        if not problems:
            return RepairReport([])
        return _Repair(path, settings, problems).run()


@contextlib.contextmanager
def _alone(files: Files, folder: Path) -> Iterator[None]:
    """Hold every lock of a folder."""
    names = files.names(folder)
    is_there = manifests.FILE_NAME in names
    if not is_there and not any(may_hold_commits(files, folder / name) for name in names):
        raise FileNotFoundError(f"there is no store in {folder}")
    held: list[File] = []
    try:
        for name in (LOCK_NAME, MAINTENANCE_LOCK_NAME, commit_page.FILE_NAME):
            if name == commit_page.FILE_NAME and name not in names:
                continue
            held.append(files.open(folder / name, create=True))
            if not held[-1].lock(wait=False):
                raise Unavailable(f"another process has {folder} open; stop that process first")
        yield
    finally:
        for file in held:
            file.close()


class _Repair:
    """One repair of a folder that has problems; all locks are held."""

    def __init__(self, folder: Path, settings: StoreSettings, problems: list[Problem]) -> None:
        self._folder = folder
        self._settings = settings
        self._files = settings.files
        self._problems = problems
        self._old = self._old_manifest()
        self._store_id = os.urandom(16)

    def run(self) -> RepairReport:
        """Do the steps listed above."""
        log = LogRepair(self._folder, self._settings, self._old, self._store_id)
        states = log.run()
        index, totals, lost = self._indexed(states, log.lost)
        manifest = self._manifest(states, index, totals, is_complete=not log.losses)
        self._make_active(manifest)
        originals = self._keep_originals(manifest)
        write_manifest(self._files, self._folder, manifest)
        self._publish(manifest)
        return RepairReport(
            self._problems,
            log.losses,
            [LostVersion(v.key.decode(), v.revision, KIND_NAMES[v.kind]) for v in lost],
            log.deletes_kept,
            sum(state.record_count for state in states),
            totals.key_count,
            originals,
        )

    def _old_manifest(self) -> Manifest | None:
        try:
            return read_manifest(self._files, self._folder)
        except (Damaged, FileNotFoundError):
            return None

    def _indexed(
        self, states: Sequence[SegmentState], lost: Sequence[KnownVersion]
    ) -> tuple[tuple[IndexState, ...], Totals, list[KnownVersion]]:
        """Write the index of these segments, count, and find what really is lost."""
        builder = IndexBuilder()
        missing = {(version.key, version.revision): version for version in lost}
        for state in states:
            delta = self._delta(state)
            builder.add(delta)
            for key, revision in list(missing):
                found = delta.find(key, revision)
                if found is not None and found.revision == revision:
                    del missing[key, revision]
        columns = builder.columns()
        totals = count_totals(columns)
        if not columns.row_count:
            return (), totals, list(missing.values())
        number = self._next_index()
        path = self._folder / index_name(number)
        size = write_index(self._files, path, self._store_id, columns)
        index = IndexState(number, size, columns.row_count)
        return (index,), totals, list(missing.values())

    def _delta(self, state: SegmentState) -> Delta:
        segment = Segment.open(self._files, self._folder, state.number, writable=False)
        delta = Delta(state.number, HEADER_SIZE)
        for frame in segment.frames(HEADER_SIZE, state.size):
            delta.add(frame.locators(state.number))
        segment.file.close()
        return delta

    def _manifest(
        self,
        states: Sequence[SegmentState],
        indexes: tuple[IndexState, ...],
        totals: Totals,
        *,
        is_complete: bool,
    ) -> Manifest:
        """Return the new state; its active segment does not exist yet."""
        old = self._old
        last = states[-1].last_revision if states else 0
        time_us = max((state.last_time_us for state in states), default=0)
        number = next_segment(self._files, self._folder, old)
        # Older revisions can no longer be read: what is lost was part of them.
        oldest = old.oldest_revision if old and is_complete else last
        return Manifest(
            generation=(old.generation if old else 0) + 1,
            store_id=self._store_id,
            next_segment=number + 1,
            next_index=self._next_index(),
            oldest_revision=oldest,
            revision_floor=max(last, old.revision_floor if old else 0) + REVISION_GAP,
            is_lax=bool(old and old.is_lax),
            segments=(
                *states,
                SegmentState(number, 0, 0, last, time_us, totals, is_indexed=False),
            ),
            indexes=indexes,
        )

    def _next_index(self) -> int:
        known = self._old.next_index if self._old else 1
        return max([known, *(n + 1 for n in index_numbers(self._files, self._folder))])

    def _make_active(self, manifest: Manifest) -> None:
        header = SegmentHeader.with_new_salt(APPENDED, manifest.active.number, self._store_id)
        Segment.create(self._files, self._folder, header).file.close()
        self._files.sync_folder(self._folder)

    def _keep_originals(self, manifest: Manifest) -> Path:
        """Move the files that the new manifest does not name to a folder; copy the old manifest."""
        names = self._files.names(self._folder)
        number = next(n for n in itertools.count(1) if f"repair-{n}" not in names)
        kept = self._folder / f"repair-{number}"
        self._files.make_folder(kept)
        if manifests.FILE_NAME in names:
            data = read_whole(self._files, self._folder / manifests.FILE_NAME)
            replace_file(self._files, kept / manifests.FILE_NAME, data)
        named = manifest.file_names
        for name in sorted(names):
            is_replaced = name.endswith((SEGMENT_SUFFIX, INDEX_SUFFIX)) and name not in named
            if is_replaced or name == commit_page.FILE_NAME:
                self._files.rename(self._folder / name, kept / name)
        self._files.sync_folder(kept)
        self._files.sync_folder(self._folder)
        return kept

    def _publish(self, manifest: Manifest) -> None:
        page = CommitPage.open(self._files, self._folder, self._settings.boot_id)
        page.start(
            published=pack_position(manifest.active.number, HEADER_SIZE),
            generation=manifest.generation,
            clock_us=manifest.active.last_time_us,
        )
        page.close()
