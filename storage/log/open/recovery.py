"""Opening a folder: make a new store, or find the end of an existing one's log.

If the commit page of this boot knows the end, recovery takes it from there. Bytes behind it come
from a crashed writer, or they are commits that are newer than the page, if an older page was put
back. The log cannot always tell which, so recovery keeps the whole frames among them
(``adopt_tail``). After a restart of the machine, or if the page is missing or damaged, recovery
finds the end in the log itself (``recover_end``).
"""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import Final

from rundlet_server.storage.errors import Damaged
from rundlet_server.storage.files import Files, file_size
from rundlet_server.storage.log.format import frame as frames
from rundlet_server.storage.log.format.commit_page import CommitPage
from rundlet_server.storage.log.format.frame import ALIGNMENT, Totals
from rundlet_server.storage.log.format.locator import offset_of, pack_position, segment_of
from rundlet_server.storage.log.format.manifest import (
    FILE_IS_MISSING,
    FILE_NAME,
    SEGMENT_IS_UNKNOWN,
    Manifest,
    Oldest,
    SegmentState,
    read_manifest,
    write_manifest,
)
from rundlet_server.storage.log.format.names import INDEX_SUFFIX, SEGMENT_SUFFIX
from rundlet_server.storage.log.format.segment import APPENDED, HEADER_SIZE, Segment, SegmentHeader
from rundlet_server.storage.log.format.stretches import stretches
from rundlet_server.storage.log.open.orphans import unnamed_commits
from rundlet_server.storage.log.open.unfinished import refuse_unfinished
from rundlet_server.storage.timeline import Retention

REVISION_GAP: Final = 1 << 24
"""Revisions skipped if a power cut may have lost commits that were seen, so that none of these
revisions comes back with another value. A machine commits fewer in the time that can be lost."""


def open_folder(
    files: Files, folder: Path, boot_id: int, retention: Retention | None = None
) -> CommitPage:
    """Make the folder a store that can be followed and appended to; idempotent.

    The caller holds the store's lock.

    Args:
        files: the file system.
        folder: of the store.
        boot_id: of this boot of the machine.
        retention: of the store if it is new.

    Raises:
        Damaged: data before the last known durable point is not what was written, or the
            manifest is missing beside segments, or older than they are.
        UnknownFormat: another release wrote the store.
        Unavailable: a restore into the folder has not finished.
    """
    refuse_unfinished(files, folder)
    names = files.names(folder)
    if FILE_NAME not in names:
        if any(may_hold_commits(files, folder / name) for name in names):
            raise Damaged(folder / FILE_NAME, 0, "the manifest is missing; run `rundlet repair`")
        create_store(files, folder, retention or Retention())
    manifest = read_manifest(files, folder)
    refuse_unnamed(files, folder, manifest)
    commit_page = CommitPage.open(files, folder, boot_id)
    try:
        manifest = settle_manifest(files, folder, commit_page)
        ensure_end(files, folder, manifest, commit_page)
    except BaseException:
        commit_page.close()
        raise
    return commit_page


def refuse_unnamed(files: Files, folder: Path, manifest: Manifest) -> None:
    """Refuse a manifest that has never known some of the segments with commits.

    Raises:
        Damaged: an older manifest was put back.
    """
    for name in unnamed_commits(files, folder, manifest):
        raise Damaged(
            folder / name, 0, "the manifest is older than this segment; run `rundlet repair`"
        )


def may_hold_commits(files: Files, path: Path) -> bool:
    """Return whether a file holds more than an interrupted creation of a store can leave."""
    if path.suffix == SEGMENT_SUFFIX:
        return file_size(files, path) > HEADER_SIZE
    return path.suffix == INDEX_SUFFIX


def create_store(files: Files, folder: Path, retention: Retention) -> None:
    """Make an empty store: one empty segment, then the manifest that names it."""
    store_id = os.urandom(16)
    header = SegmentHeader.with_new_salt(APPENDED, 1, store_id)
    segment = Segment.create(files, folder, header)
    segment.file.close()
    files.sync_folder(folder)
    first = SegmentState(1, 0, 0, 0, 0, Totals(), is_indexed=False)
    manifest = Manifest(1, store_id, 2, 1, 0, 0, False, (first,), (), retention=retention)
    write_manifest(files, folder, manifest)
    files.sync_folder(folder.absolute().parent)  # the folder may be new, too


def install_manifest(
    files: Files, folder: Path, manifest: Manifest, commit_page: CommitPage
) -> None:
    """Write a manifest and announce it to every process; the caller holds the store's lock.

    If the manifest seals a segment, one store to the published word makes its new data visible to
    all processes at once. Processes load a manifest when they see its generation, so the generation
    is set only after that: a bulk load brings data with its manifest.

    A process that dies or fails in between leaves ``is_changing`` set, so that the next holder of
    the lock reads the manifest on disk (``settle_manifest``) and does not continue from the one
    before.
    """
    commit_page.is_changing = True
    write_manifest(files, folder, manifest)
    published = commit_page.published
    if published is not None and segment_of(published) < manifest.active.number:
        start = pack_position(manifest.active.number, HEADER_SIZE)
        commit_page.published = start
        commit_page.durable = start  # what is sealed is durable
    commit_page.generation = manifest.generation
    commit_page.is_changing = False


def settle_manifest(files: Files, folder: Path, commit_page: CommitPage) -> Manifest:
    """Return the manifest on disk, made durable if a change of it was interrupted.

    The caller holds the store's lock.
    """
    manifest = read_manifest(files, folder)
    if commit_page.is_changing:
        install_manifest(files, folder, manifest, commit_page)
    return manifest


def ensure_end(files: Files, folder: Path, manifest: Manifest, commit_page: CommitPage) -> None:
    """Make the commit page hold the end of the log, found in the log if need be.

    The caller holds the store's lock, at opening and before every append.
    """
    published = commit_page.published
    active = manifest.active.number
    if published is None:
        recover_end(files, folder, manifest, commit_page)
    elif segment_of(published) > active:
        raise Damaged(folder / FILE_NAME, 0, SEGMENT_IS_UNKNOWN)
    else:
        if segment_of(published) < active:
            # A writer died between sealing a segment and publishing the new one, or the page is
            # older than the segment: then ``adopt_tail`` finds the commits in it.
            commit_page.published = pack_position(active, HEADER_SIZE)
        _adopt_tail_of_active(files, folder, manifest, commit_page)
    commit_page.generation = max(commit_page.generation, manifest.generation)


def _adopt_tail_of_active(
    files: Files, folder: Path, manifest: Manifest, commit_page: CommitPage
) -> None:
    """Keep the whole frames behind the published end, or find the end anew if that fails."""
    try:
        segment = Segment.open(files, folder, manifest.active.number)
    except FileNotFoundError as ex:
        raise Damaged(str(ex.filename), 0, FILE_IS_MISSING) from ex
    try:
        is_settled = adopt_tail(segment, commit_page)
    finally:
        segment.file.close()
    if not is_settled:
        recover_end(files, folder, manifest, commit_page)


def adopt_tail(segment: Segment, commit_page: CommitPage) -> bool:
    """Publish the whole frames behind the published end of the active segment, truncate the rest.

    The caller holds the store's lock. If a crashed writer left such frames, none was acknowledged,
    and keeping them is as correct as truncating them. If the commit page is older than the log, the
    frames were acknowledged. A segment whose sync has failed takes no more commits and must not be
    synced again: its bytes are truncated.

    Returns:
        False if the log says that it was durable behind the last of these frames: then the page
        does not belong to this log, or bytes are damaged, and nothing was changed.
    """
    start = offset_of(commit_page.published or 0)
    size = segment.file.size()
    if size <= start:
        return True
    end, time_us = end_of_tail(segment, start, abandoned=commit_page.abandoned)
    if end is None:
        return False
    segment.file.truncate(end)
    if end > start:
        _make_durable(segment, end, commit_page)
        commit_page.advance_clock(time_us)
        commit_page.published = pack_position(segment.number, end)
        commit_page.durable = pack_position(segment.number, end)
    return True


def end_of_tail(segment: Segment, start: int, *, abandoned: int) -> tuple[int | None, int]:
    """Return the end of the frames to keep behind a published end, and the last one's time.

    The caller keeps writers away. The end is ``None`` if ``adopt_tail`` returns false then.

    Args:
        segment: the active one.
        start: the published end in it.
        abandoned: see ``CommitPage.abandoned``.
    """
    size = segment.file.size()
    if size <= start or abandoned == segment.number:
        return start, 0
    end, time_us = _whole_frames(segment, start, size)
    return (None if durable_by_witness(segment, end, size) > end else end), time_us


def recover_end(files: Files, folder: Path, manifest: Manifest, commit_page: CommitPage) -> None:
    """Find the end of the log in the log itself.

    1. Read the active segment's frames up to the first that is not whole: that is the end.
    2. Refuse if the bytes there were durable once: the durable word of the page says so, or a whole
       frame behind them, which was written when they were durable. Otherwise they are a torn tail:
       truncate it.
    3. Sync: whole frames may still be only in memory, and so may the manifest's name. If a sync of
       the segment has failed before, rewrite the frames first (``_make_durable``).
    4. If commits that readers saw may be lost (``is_lax``), record a gap in the revisions in the
       manifest before anything new is written. The head stays readable whatever the retention.
    5. Publish.
    """
    try:
        segment = Segment.open(files, folder, manifest.active.number)
    except FileNotFoundError as ex:
        raise Damaged(str(ex.filename), 0, FILE_IS_MISSING) from ex
    try:
        durable = commit_page.durable or 0
        size = segment.file.size()
        is_here = segment_of(durable) == segment.number
        durable_end = offset_of(durable) if is_here else HEADER_SIZE
        end, time_us = find_end(segment, size, durable=durable_end)
        if size > end:
            segment.file.truncate(end)
        if size > HEADER_SIZE:  # a header is durable before the manifest names its segment
            _make_durable(segment, end, commit_page)
        files.sync_folder(folder)
        revision, last_time_us = _last_commit(segment, manifest, end)
        if manifest.is_lax:
            floor = revision + REVISION_GAP
            oldest = min(manifest.oldest, Oldest(revision, last_time_us))
            changed = manifest.changed(oldest=oldest)
            manifest = dataclasses.replace(changed, revision_floor=floor)
            write_manifest(files, folder, manifest)
    finally:
        segment.file.close()
    commit_page.start(
        published=pack_position(segment.number, end),
        generation=manifest.generation,
        clock_us=max(time_us, last_time_us),
    )


def find_end(segment: Segment, size: int, *, durable: int) -> tuple[int, int]:
    """Return where the whole frames of an active segment end, and the time of the last one.

    Args:
        segment: the active one.
        size: of its file.
        durable: an offset up to which it was on stable storage once.

    Raises:
        Damaged: steps 1 and 2 of ``recover_end``.
    """
    end, time_us = _whole_frames(segment, HEADER_SIZE, size)
    _refuse_if_durable(segment, end, durable)
    _refuse_if_durable(segment, end, durable_by_witness(segment, end, size))
    return end, time_us


def _make_durable(segment: Segment, end: int, commit_page: CommitPage) -> None:
    """Sync the frames of a segment.

    After a failed sync, the kernel may treat pages as written that are not, and another sync would
    falsely report success. So this rewrites the same bytes first.
    """
    if commit_page.abandoned == segment.number:
        segment.file.pwrite([segment.file.pread(end - HEADER_SIZE, HEADER_SIZE)], HEADER_SIZE)
    try:
        segment.file.sync()
    except OSError:
        commit_page.abandoned = segment.number
        raise


def _whole_frames(segment: Segment, start: int, size: int) -> tuple[int, int]:
    """Return where the whole frames from ``start`` on end, and the time of the last one."""
    end, time_us = start, 0
    try:
        for stretch in stretches(segment, start, size):
            end = stretch.offset + stretch.size
            _, time_us, _ = stretch.last_commit
    except Damaged as ex:
        end = ex.offset
    return end, time_us


def _refuse_if_durable(segment: Segment, end: int, durable: int) -> None:
    if durable > end:
        raise Damaged(
            segment.path,
            end,
            f"the log was on stable storage up to offset {durable}; run `rundlet repair`",
        )


def durable_by_witness(segment: Segment, end: int, size: int) -> int:
    """Return the highest offset that whole frames behind ``end`` call durable; 0 without any."""
    rest = memoryview(segment.file.pread(size - end, end))
    found = frames.search(rest[ALIGNMENT:], end + ALIGNMENT, segment.header.salt)
    return max((frame.synced for frame in found), default=0)


def _last_commit(segment: Segment, manifest: Manifest, end: int) -> tuple[int, int]:
    """Return revision and time of the last commit of the store."""
    revision, time_us = manifest.active.last_revision, manifest.active.last_time_us
    for stretch in stretches(segment, HEADER_SIZE, end):
        revision, time_us, _ = stretch.last_commit
    return revision, time_us
