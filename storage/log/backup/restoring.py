"""Restore: make a store in a new folder from a backup directory.

A process may die between any two of these steps; what it leaves does not open as a store, and the
same restore may be run again:

1. if the folder is empty, say in it that a restore has begun, lock it, require that it is still
   empty, and mark it: as long as the mark is there, nothing opens a store in it
   (``open.unfinished``);
2. copy the segments, verified by their hashes, up to the last commit that is wanted. The last
   segment is truncated behind that commit. If a frame of compaction holds commits on both sides,
   its first records are written as a frame of their own;
3. verify every frame and record, and build the index and the totals of that revision anew;
4. make a new, empty active segment, and sync all of it;
5. write the manifest, durably: with a new store id, and with a gap in the revisions that no
   restore and no store that was ever backed up into this directory has used;
6. remove the mark.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rundlet_server.storage.backups import BackupFile
from rundlet_server.storage.errors import Damaged, InvalidRequest, NotInBackup, Unavailable
from rundlet_server.storage.files import Files, RealFiles, replace_file
from rundlet_server.storage.log.backup.choosing import Wanted
from rundlet_server.storage.log.backup.index import shown_time
from rundlet_server.storage.log.backup.pieces import chain_of, pieces_in, read_range
from rundlet_server.storage.log.backup.places import BackupPlace
from rundlet_server.storage.log.backup.scanning import SegmentScan
from rundlet_server.storage.log.check.rebuild import count_totals
from rundlet_server.storage.log.format import commit_page
from rundlet_server.storage.log.format import manifest as manifests
from rundlet_server.storage.log.format.frame import Totals
from rundlet_server.storage.log.format.manifest import (
    IndexState,
    Manifest,
    SegmentState,
    decode_manifest,
    write_manifest,
)
from rundlet_server.storage.log.format.names import (
    TEMPORARY_SUFFIX,
    index_name,
    index_number,
    segment_name,
    segment_number,
)
from rundlet_server.storage.log.format.segment import APPENDED, Segment, SegmentHeader
from rundlet_server.storage.log.index.columns import Columns
from rundlet_server.storage.log.index.writer import write_index
from rundlet_server.storage.log.open.folder_lock import LOCK_NAME
from rundlet_server.storage.log.open.unfinished import BEGUN_NAME, MARK_NAME
from rundlet_server.storage.tokens.format import FILE_NAME as TOKENS_NAME

REVISION_STEP: Final = 1 << 32
"""How far the first revision of a restored store is above the last one that was backed up: more
than any store commits after its last backup."""
_OURS: Final = frozenset({manifests.FILE_NAME, commit_page.FILE_NAME, TOKENS_NAME})
_HARMLESS: Final = frozenset({"lost+found"})

Progress = Callable[[int, int], None]
"""Called with the bytes copied so far and all bytes to copy."""


@dataclass(frozen=True, slots=True)
class Restored:
    """The result.

    Attributes:
        backup: the name of the backup.
        store_id: of the new store.
        revision: its head.
        time_us: of its last commit.
        next_revision: of its first new commit.
        key_count: keys that have a value, of which some may have expired since.
    """

    backup: str
    store_id: str
    revision: int
    time_us: int
    next_revision: int
    key_count: int


class Restore:
    """One restore into a folder."""

    def __init__(
        self,
        place: BackupPlace,
        wanted: Wanted,
        folder: Path,
        *,
        files: Files | None = None,
        progress: Progress | None = None,
    ) -> None:
        self._place = place
        self._wanted = wanted
        self._index = wanted.index
        self._folder = folder
        self._files: Files = files or RealFiles()
        self._progress = progress
        self._store_id = os.urandom(16)
        self._pieces = pieces_in(place.sizes())
        self._sizes = {file.name: file for file in self._index.files}
        self._scan = SegmentScan(self._files, folder, wanted)
        self._copied = 0

    def run(self) -> Restored:
        """Do the steps listed above.

        Raises:
            Damaged: the backup is not what was written.
            InvalidRequest: the folder is not empty.
            NotInBackup: the backup does not reach back to that time.
        """
        old = self._manifest()
        self._require_reached(old)
        with self._marked():
            states = list(self._segments(old))
            columns = self._scan.columns()
            totals = count_totals(columns)
            if self._scan.split is not None:
                self._scan.split.write(totals)
            head = self._head(old)
            manifest = self._new_manifest(old, states, self._indexed(columns), totals, head)
            self._make_active(manifest)
            self._write_tokens()
            write_manifest(self._files, self._folder, manifest)
        return Restored(
            self._index.name,
            self._store_id.hex(),
            head,
            self._scan.last_time_us,
            manifest.revision_floor + 1,
            totals.key_count,
        )

    def _require_reached(self, old: Manifest) -> None:
        """Refuse a time that is older than the history in the backup."""
        time_us = self._wanted.time_us
        if time_us is not None and time_us < old.oldest_time_us:
            span = f"{old.oldest_revision} to {self._index.revision}"
            since = shown_time(old.oldest_time_us)
            raise NotInBackup(
                f"{self._index.name} does not reach back to that time; it holds the revisions"
                f" {span}, from {since} on"
            )

    @contextlib.contextmanager
    def _marked(self) -> Iterator[None]:
        self._files.make_folder(self._folder)
        if not self._names_left():
            self._make_durable(BEGUN_NAME)
        lock = self._files.open(self._folder / LOCK_NAME, create=True)
        try:
            try:
                if not lock.lock(wait=False):
                    raise Unavailable(f"another restore into {self._folder} is at work")
                names = self._names_left()  # another restore may have ended since
                self._make_durable(MARK_NAME)
            finally:
                self._files.unlink(self._folder / BEGUN_NAME)
            for name in names:
                if _is_ours(name):
                    self._files.unlink(self._folder / name)
            yield
            self._files.unlink(self._folder / MARK_NAME)
            self._files.sync_folder(self._folder)
            self._files.sync_folder(self._folder.absolute().parent)
        finally:
            lock.close()

    def _make_durable(self, name: str) -> None:
        """Make an empty file that a power cut does not take away."""
        self._files.open(self._folder / name, create=True).close()
        self._files.sync_folder(self._folder)

    def _names_left(self) -> set[str]:
        """Return the files that a restore that died has left, beside its lock.

        Raises:
            InvalidRequest: they are of something else.
        """
        names = set(self._files.names(self._folder)) - _HARMLESS - {LOCK_NAME, BEGUN_NAME}
        if names and MARK_NAME not in names:
            raise InvalidRequest(f"{self._folder} is not empty; restore into a new folder")
        return names

    def _manifest(self) -> Manifest:
        path = Path(str(self._place)) / self._index.name
        data = self._index.contents.get(manifests.FILE_NAME)
        if data is None:
            raise Damaged(path, 0, "the backup has no manifest")
        return decode_manifest(data, path)

    def _segments(self, old: Manifest) -> Iterator[SegmentState]:
        """Copy the segments that are wanted; yield their entries for the new manifest."""
        for state in old.segments:
            if self._scan.is_cut:
                return
            file = self._sizes.get(segment_name(state.number))
            if file is None:
                path = Path(str(self._place)) / self._index.name
                raise Damaged(path, 0, f"the backup lacks segment {state.number} of its manifest")
            self._copy(file)
            copied = self._scan.scan(state.number, file.size)
            if copied is not None:
                yield copied
            else:
                self._files.unlink(self._folder / file.name)

    def _copy(self, file: BackupFile) -> None:
        """Copy a segment, verified by its hash.

        Raises:
            Damaged: the pieces are not what was backed up.
        """
        chain = chain_of(self._pieces.get((self._index.store_id, file.name), ()))
        hasher = hashlib.sha256()
        copy = self._files.open(self._folder / file.name, create=True)
        try:
            offset = 0
            for data in read_range(self._place, chain, 0, file.size):
                hasher.update(data)
                copy.pwrite([data], offset)
                offset += len(data)
                self._copied += len(data)
                if self._progress is not None:
                    self._progress(self._copied, sum(f.size for f in self._index.files))
        finally:
            copy.close()
        if hasher.hexdigest() != file.sha256:
            path = Path(str(self._place)) / (chain[0].name if chain else file.name)
            raise Damaged(path, 0, f"the pieces of {file.name} are not as the hash of it says")

    def _head(self, old: Manifest) -> int:
        """Return the revision of the restored store."""
        if self._wanted.time_us is None or not self._scan.is_cut:
            return self._wanted.revision
        # The record of the oldest revision may be gone, because a later one replaced it.
        return max(self._scan.last_revision, old.oldest_revision)

    def _indexed(self, columns: Columns) -> tuple[IndexState, ...]:
        if not columns.row_count:
            return ()
        path = self._folder / index_name(1)
        size = write_index(self._files, path, self._store_id, columns)
        return (IndexState(1, size, columns.row_count),)

    def _new_manifest(
        self,
        old: Manifest,
        states: list[SegmentState],
        indexes: tuple[IndexState, ...],
        totals: Totals,
        head: int,
    ) -> Manifest:
        """Return the manifest of the new store; its active segment does not exist yet."""
        number = old.next_segment
        known = max(self._wanted.newest_known, self._index.revision, old.revision_floor)
        floor = known + REVISION_STEP - 1
        active = SegmentState(number, 0, 0, head, self._scan.last_time_us, totals, is_indexed=False)
        return Manifest(
            generation=1,
            store_id=self._store_id,
            next_segment=number + 1,
            next_index=2,
            oldest_revision=min(old.oldest_revision, head),
            revision_floor=floor,
            is_lax=False,
            segments=(*states, active),
            indexes=indexes,
            oldest_time_us=old.oldest_time_us,
            retention=old.retention,
            gaps=(*(gap for gap in old.gaps if gap[0] < head), (head, floor)),
            needs=old.needs,
        )

    def _make_active(self, manifest: Manifest) -> None:
        header = SegmentHeader.with_new_salt(APPENDED, manifest.active.number, self._store_id)
        Segment.create(self._files, self._folder, header).file.close()
        self._files.sync_folder(self._folder)

    def _write_tokens(self) -> None:
        data = self._index.contents.get(TOKENS_NAME)
        if data is not None:
            replace_file(self._files, self._folder / TOKENS_NAME, data)


def _is_ours(name: str) -> bool:
    """Return whether a restore that died may have left such a file."""
    is_numbered = segment_number(name) is not None or index_number(name) is not None
    return is_numbered or name in _OURS or name.endswith(TEMPORARY_SUFFIX)
