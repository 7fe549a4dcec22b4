"""A cheap look at a store's folder: what a person wants to know of it first.

An inspection opens every file and checks its header. It also reads the records that no index file
covers: the next process that opens the store reads them, and refuses damage there. ``verify`` reads
the rest. An inspection changes nothing, and works beside a running server.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path

from rundlet_server.storage.errors import Damaged
from rundlet_server.storage.log.check.opened import (
    OpenedStore,
    Problem,
    look_at_commit_page,
    reporting,
)
from rundlet_server.storage.log.format.segment import HEADER_SIZE
from rundlet_server.storage.log.format.stretches import stretches
from rundlet_server.storage.log.index.delta import Delta
from rundlet_server.storage.log.index.estimates import live_bytes
from rundlet_server.storage.log.open.orphans import unnamed_files
from rundlet_server.storage.settings import StoreSettings


@dataclass(frozen=True, slots=True)
class Inspection:
    """The result of an inspection.

    Attributes:
        store_id: of the store.
        problems: files that are not as they should be.
        segment_count, index_count: files.
        log_bytes: size of all segments.
        live_bytes: how much of it newest versions need; an estimate, see ``estimates.live_bytes``.
        unindexed_segments: full segments that have no index file yet.
        orphans: names of files that no manifest names.
        is_page_trusted: the commit page is of this boot of the machine; else the next process to
            open the store reads the end of the log.
        last_time_us: the latest time that any process has acted on or logged, in microseconds
            since the epoch.
        is_lax: it was written with a policy under which a power cut may lose commits.
    """

    store_id: str
    problems: list[Problem]
    segment_count: int
    index_count: int
    log_bytes: int
    live_bytes: int
    unindexed_segments: int
    orphans: list[str]
    is_page_trusted: bool
    last_time_us: int
    is_lax: bool

    @property
    def dead_bytes(self) -> int:
        """The bytes of the log that newest versions do not need."""
        return self.log_bytes - self.live_bytes


def inspect(folder: Path, settings: StoreSettings | None = None) -> Inspection:
    """Look at a folder.

    Raises:
        FileNotFoundError: there is no store in it.
        Damaged, UnknownFormat: the manifest cannot be read.
        Unavailable: see ``OpenedStore.open``.
    """
    settings = settings or StoreSettings()
    opened = OpenedStore.open(folder, settings)
    page = look_at_commit_page(folder, settings)
    manifest = opened.manifest
    log_bytes = opened.log_bytes
    damage, replaced_bytes = _look_at_unindexed(opened)
    active_bytes = opened.ends[manifest.active.number] - replaced_bytes
    indexes = opened.indexes.values()
    return Inspection(
        store_id=manifest.store_id.hex(),
        problems=opened.problems + damage,
        segment_count=len(manifest.segments),
        index_count=len(manifest.indexes),
        log_bytes=log_bytes,
        live_bytes=live_bytes(manifest.active.totals, indexes, log_bytes, active_bytes),
        unindexed_segments=sum(not state.is_indexed for state in manifest.segments[:-1]),
        orphans=unnamed_files(settings.files, folder, manifest),
        is_page_trusted=page is not None and page.published is not None,
        last_time_us=max(manifest.active.last_time_us, page.clock_us if page else 0),
        is_lax=manifest.is_lax,
    )


def _look_at_unindexed(opened: OpenedStore) -> tuple[list[Problem], int]:
    """Read each segment that an open reads in place of an index file.

    Return the first damage in each, and the bytes that the active one replaces itself.
    """
    problems: list[Problem] = []
    active = Delta(opened.manifest.active.number, HEADER_SIZE)
    for state in opened.manifest.segments:
        segment = opened.segments.get(state.number)
        if state.is_indexed or segment is None:
            continue
        with reporting(segment.path, problems):
            for stretch in stretches(segment, HEADER_SIZE, opened.ends[state.number]):
                if state.number == active.segment:
                    with contextlib.suppress(Damaged):  # its checksums match: ``verify`` reports it
                        active.add(stretch.locators(state.number))
    return problems, active.replaced_bytes
