"""Repair a store: keep everything that is whole, and report what is lost.

A folder in which nothing is wrong is left alone. Otherwise a repair has these steps; a process may
die between any two of them:

1. read every segment, whole or not; find the whole frames behind damage, and in damaged frames
   the records that are whole by themselves (of a damaged commit some may be lost and others kept);
2. leave whole segments as they are. Rewrite damaged ones from the records that are left. Rewrite
   segments whose revisions overlap as one: a crash leaves the inputs of a compaction beside its
   outputs, and together they hold all that is needed (see ``open.orphans``);
3. look up in every index file of the folder what the log should hold. Write lost deletes again, so
   that deleted keys stay deleted. Note the values that are lost, and the keys that have an older
   value again;
4. build the index anew from the log, without erased versions, and count the totals. Maintenance
   removes the erased records later: every erasure that is found counts as unfinished;
5. make a new, empty active segment; sync all of it;
6. move the replaced originals into a folder of their own, ``repair-<n>``, and list the losses
   there;
7. install a new manifest, with a new store id and a gap in the revisions: no revision and no ETag
   comes back with another value, and the head is at or above every revision that a file knows of
   (``revisions``). If anything is lost, commits of unknown revisions may be lost, too: then the
   head is behind the gap, and older revisions can no longer be read.

If the manifest is missing, the segments themselves give their order.
"""

from __future__ import annotations

import contextlib
import itertools
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from rundlet_server.storage.errors import Damaged
from rundlet_server.storage.files import read_whole, replace_file
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
    Oldest,
    SegmentState,
    read_manifest,
    write_manifest,
)
from rundlet_server.storage.log.format.names import (
    INDEX_SUFFIX,
    SEGMENT_SUFFIX,
    TIMES_SUFFIX,
    index_name,
    index_numbers,
)
from rundlet_server.storage.log.format.record import KIND_NAMES
from rundlet_server.storage.log.format.segment import APPENDED, HEADER_SIZE, Segment, SegmentHeader
from rundlet_server.storage.log.format.stretches import stretches
from rundlet_server.storage.log.format.times_file import write_times
from rundlet_server.storage.log.index.columns import Columns
from rundlet_server.storage.log.index.delta import Delta
from rundlet_server.storage.log.index.retention import erasures, without_erased
from rundlet_server.storage.log.index.writer import write_index
from rundlet_server.storage.log.open.alone import alone
from rundlet_server.storage.log.open.recovery import REVISION_GAP
from rundlet_server.storage.log.owner import make_subfolder
from rundlet_server.storage.log.repair.came_back import came_back
from rundlet_server.storage.log.repair.known_versions import readable_indexes
from rundlet_server.storage.log.repair.log import LogRepair, commit_page_clock_us, next_segment
from rundlet_server.storage.log.repair.report import (
    REPORT_NAME,
    UNFINISHED_NAME,
    Loss,
    LostVersion,
    RepairReport,
    on_one_line,
)
from rundlet_server.storage.log.repair.revisions import (
    ORIGINALS_PREFIX,
    known_floor,
    known_revision,
    unreached,
)
from rundlet_server.storage.settings import StoreSettings
from rundlet_server.storage.timeline import Retention


def repair(path: Path, settings: StoreSettings | None = None) -> RepairReport:
    """Make a damaged store whole again from what is left; no process may have it open.

    Raises:
        FileNotFoundError: there is no store in this folder.
        UnknownFormat: another release wrote the store.
        Unavailable: another process has the store open.
    """
    settings = settings or StoreSettings()
    with alone(settings.files, path):
        verified = verify(path, settings)
        if not verified.problems:
            counts = (verified.record_count, verified.key_count, verified.revision)
            return RepairReport([], [], [], [], 0, *counts)
        return _Repair(path, settings, verified.problems).run()


_REPLACED: Final = (SEGMENT_SUFFIX, INDEX_SUFFIX, TIMES_SUFFIX)


class _Repair:
    """One repair of a folder that has problems; all locks are held."""

    def __init__(self, folder: Path, settings: StoreSettings, problems: list[Problem]) -> None:
        self._folder = folder
        self._settings = settings
        self._files = settings.files
        self._problems = problems
        self._old = self._old_manifest()
        self._store_id = os.urandom(16)
        self._erased: dict[bytes, int] = {}
        self._clock_us = commit_page_clock_us(folder, settings)  # the page is made anew

    def run(self) -> RepairReport:
        """Do the steps listed above."""
        log = LogRepair(self._folder, self._settings, self._old, self._store_id)
        states = log.run()
        unfinished = list(self._unfinished_lists())
        losses = [*log.losses, *self._unreached(log), *map(_untold, unfinished)]
        report = RepairReport(self._problems, losses)
        report.lost_versions = [
            LostVersion(version.key.decode(errors="backslashreplace"), version.revision, kind)
            for version in log.lost
            for kind in [KIND_NAMES[version.kind]]
        ]
        found = self._columns(states)
        self._erased = erasures(found)
        columns = without_erased(found)
        report.came_back = list(came_back(log, columns))
        report.deletes_kept = log.deletes_kept
        totals = count_totals(columns)
        manifest = self._manifest(states, self._indexed(columns), totals, log, report)
        self._make_active(manifest)
        report.originals = self._keep_originals(manifest, report)
        write_manifest(self._files, self._folder, manifest)
        self._publish(manifest)
        if report.list_path is not None:
            unfinished.append(report.list_path.with_name(UNFINISHED_NAME))
        for path in unfinished:
            self._files.rename(path, path.with_name(REPORT_NAME))
            self._files.sync_folder(path.parent)
        report.record_count = sum(state.record_count for state in states)
        report.key_count = totals.key_count
        report.revision = manifest.active.last_revision
        return report

    def _unreached(self, log: LogRepair) -> Iterator[Loss]:
        """Yield losses that only manifests of earlier repairs show, if the store has none."""
        if self._old is None:
            last = [index.last_revision for index in log.indexes]
            last += [source.last_revision for source in log.sources]
            yield from unreached(self._files, self._folder, max(last, default=0))

    def _old_manifest(self) -> Manifest | None:
        try:
            return read_manifest(self._files, self._folder)
        except (Damaged, FileNotFoundError):
            return None

    def _columns(self, states: Sequence[SegmentState]) -> Columns:
        """Return the index of these segments."""
        builder = IndexBuilder()
        for state in states:
            builder.add(self._delta(state))
        return builder.columns()

    def _indexed(self, columns: Columns) -> tuple[IndexState, ...]:
        """Write the index file, if there is anything in it."""
        if not columns.row_count:
            return ()
        number = self._next_index()
        path = self._folder / index_name(number)
        size = write_index(self._files, path, self._store_id, columns)
        return (IndexState(number, size, columns.row_count),)

    def _delta(self, state: SegmentState) -> Delta:
        segment = Segment.open(self._files, self._folder, state.number, writable=False)
        delta = Delta(state.number, HEADER_SIZE)
        is_appended = segment.header.origin == APPENDED
        for stretch in stretches(segment, HEADER_SIZE, state.size):
            entries = stretch.locators(state.number)
            stretch.add_commits(delta.times, is_appended=is_appended)  # first, see ``Delta.add``
            delta.add(entries)
        segment.file.close()
        write_times(self._files, self._folder, segment.header, delta.times)
        return delta

    def _manifest(
        self,
        states: Sequence[SegmentState],
        indexes: tuple[IndexState, ...],
        totals: Totals,
        log: LogRepair,
        report: RepairReport,
    ) -> Manifest:
        """Return the new state; its active segment does not exist yet."""
        old = self._old
        known = known_revision(
            self._files,
            self._folder,
            manifest=old,
            indexes=readable_indexes(
                self._files, self._folder, index_numbers(self._files, self._folder)
            ),
            sources=log.sources,
        )
        # Without the manifest, the number of gaps is not known: leave one for each repair.
        gaps = 1 if old else self._repair_number()
        floor = max(known, known_floor(self._files, self._folder, old)) + gaps * REVISION_GAP
        is_complete = not report.is_anything_lost
        head = known if is_complete else floor
        time_us = max((state.last_time_us for state in states), default=0)
        oldest = old.oldest if old and is_complete else Oldest(head, time_us)
        number = next_segment(self._files, self._folder, old)
        return Manifest(
            generation=(old.generation if old else 0) + 1,
            store_id=self._store_id,
            next_segment=number + 1,
            next_index=self._next_index(),
            # Older revisions can no longer be read: the losses were part of them.
            oldest_revision=oldest.revision,
            oldest_time_us=oldest.time_us,
            retention=old.retention if old else Retention(),
            revision_floor=floor,
            is_lax=bool(old and old.is_lax),
            segments=(
                *states,
                SegmentState(number, 0, 0, head, time_us, totals, is_indexed=False),
            ),
            indexes=indexes,
            erased=self._erased,
            gaps=old.gaps if old else (),
            needs=log.needs | (old.needs if old else frozenset()),
        )

    def _next_index(self) -> int:
        known = self._old.next_index if self._old else 1
        return max([known, *(n + 1 for n in index_numbers(self._files, self._folder))])

    def _make_active(self, manifest: Manifest) -> None:
        header = SegmentHeader.with_new_salt(APPENDED, manifest.active.number, self._store_id)
        Segment.create(self._files, self._folder, header).file.close()
        self._files.sync_folder(self._folder)

    def _unfinished_lists(self) -> Iterator[Path]:
        """Yield the lists of repairs that ended before they could report anything."""
        for name in self._files.names(self._folder):
            if name.startswith(ORIGINALS_PREFIX):
                with contextlib.suppress(OSError):
                    if UNFINISHED_NAME in self._files.names(self._folder / name):
                        yield self._folder / name / UNFINISHED_NAME

    def _repair_number(self) -> int:
        """Return the number of this repair: the first that no folder of originals has."""
        names = self._files.names(self._folder)
        return next(n for n in itertools.count(1) if f"{ORIGINALS_PREFIX}{n}" not in names)

    def _keep_originals(self, manifest: Manifest, report: RepairReport) -> Path:
        """Move the files that the new manifest does not name to a folder; copy the old manifest.

        The list of losses is written there first.
        """
        names = self._files.names(self._folder)
        kept = self._folder / f"{ORIGINALS_PREFIX}{self._repair_number()}"
        make_subfolder(self._files, kept)
        if report.is_anything_lost:
            report.list_path = kept / REPORT_NAME
            lines = [*report.lost_lines(), *report.came_back_lines()]
            text = "".join(f"{on_one_line(line)}\n" for line in lines)
            replace_file(self._files, kept / UNFINISHED_NAME, text.encode())
        if manifests.FILE_NAME in names:
            data = read_whole(self._files, self._folder / manifests.FILE_NAME)
            replace_file(self._files, kept / manifests.FILE_NAME, data)
        named = manifest.file_names
        for name in sorted(names):
            is_replaced = name.endswith(_REPLACED) and name not in named
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
            clock_us=max(manifest.active.last_time_us, self._clock_us),
        )
        page.close()


def _untold(path: Path) -> Loss:
    listed = path.with_name(REPORT_NAME)
    return Loss(listed, 0, 0, "this is the list of an earlier repair that ended before its report")
