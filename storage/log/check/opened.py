"""Everything that a manifest names, opened at once: what a verification or a repair reads."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rundlet_server.storage.errors import Damaged, Unavailable, UnknownFormat
from rundlet_server.storage.files import Files
from rundlet_server.storage.log.check import salvage
from rundlet_server.storage.log.check.salvage import Gap
from rundlet_server.storage.log.format import commit_page
from rundlet_server.storage.log.format.commit_page import CommitPage
from rundlet_server.storage.log.format.locator import offset_of, pack_position, segment_of
from rundlet_server.storage.log.format.manifest import (
    FILE_IS_MISSING,
    FILE_NAME,
    SEGMENT_IS_UNKNOWN,
    Manifest,
    read_manifest,
)
from rundlet_server.storage.log.format.names import index_name, segment_name
from rundlet_server.storage.log.format.segment import HEADER_SIZE, Segment
from rundlet_server.storage.log.index.file import IndexFile
from rundlet_server.storage.log.open.orphans import unnamed_commits
from rundlet_server.storage.log.open.recovery import durable_by_witness
from rundlet_server.storage.log.open.unfinished import refuse_unfinished
from rundlet_server.storage.settings import StoreSettings

_ATTEMPTS: Final = 100


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that is not as it should be. ``offset`` is in bytes."""

    path: Path
    offset: int
    reason: str


@dataclass(frozen=True, slots=True)
class OpenedStore:
    """A manifest, with all files open that it names; for reading only.

    Attributes:
        ends: up to where each segment is to be read, by number.
        segments, indexes: by number; without those that cannot be opened.
        problems: why files cannot be opened.
    """

    folder: Path
    manifest: Manifest
    ends: dict[int, int]
    segments: dict[int, Segment]
    indexes: dict[int, IndexFile]
    problems: list[Problem]

    @property
    def log_bytes(self) -> int:
        """The size of all segments together, up to where each holds commits."""
        return sum(self.ends.values())

    @classmethod
    def open(cls, folder: Path, settings: StoreSettings) -> OpenedStore:
        """Open everything; begin again if the manifest changes meanwhile.

        Raises:
            FileNotFoundError: there is no manifest.
            Damaged, UnknownFormat: of the manifest or the commit page.
            Unavailable: the manifest changes faster than files can be opened, or a restore into
                the folder has not finished.
        """
        files = settings.files
        refuse_unfinished(files, folder)
        for _ in range(_ATTEMPTS):
            manifest = read_manifest(files, folder)
            opened = cls(folder, manifest, {}, {}, {}, [])
            opened._open_files(files)
            opened._find_ends(settings)
            for name in unnamed_commits(files, folder, manifest):
                reason = "the segment holds commits and the manifest does not name it"
                opened.problems.append(Problem(folder / name, 0, reason))
            if read_manifest(files, folder).generation == manifest.generation:
                return opened
        raise Unavailable("the files of the store change too fast to be opened; try again")

    def _open_files(self, files: Files) -> None:
        for state in self.manifest.segments:
            with reporting(self.folder / segment_name(state.number), self.problems):
                segment = Segment.open(files, self.folder, state.number, writable=False)
                self.segments[state.number] = segment
        for index in self.manifest.indexes:
            path = self.folder / index_name(index.number)
            with reporting(path, self.problems):
                self.indexes[index.number] = IndexFile(files, path, index.number, index.size)

    def _find_ends(self, settings: StoreSettings) -> None:
        """Find where the log ends: where the commit page says, else where its frames do."""
        self.ends.update((state.number, state.size) for state in self.manifest.segments)
        active = self.manifest.active.number
        self.ends[active] = HEADER_SIZE
        page = None
        try:
            page = look_at_commit_page(self.folder, settings)
        except UnknownFormat as ex:
            self.problems.append(Problem(self.folder / commit_page.FILE_NAME, 0, str(ex)))
        published = segment_of(page.published or 0) if page else 0
        if published > active:
            self.problems.append(Problem(self.folder / FILE_NAME, 0, SEGMENT_IS_UNKNOWN))
            page = None
        if active not in self.segments:
            return
        segment = self.segments[active]
        if page and is_older_than_log(page, segment):
            reason = "the commit page is older than the log: an older copy was put back"
            self.problems.append(Problem(self.folder / commit_page.FILE_NAME, 0, reason))
            page, published = None, 0
        # Published below the active segment: nothing has been appended to the active one yet.
        if not 0 < published < active:
            self.ends[active] = end_of_active(segment, page)


def look_at_commit_page(folder: Path, settings: StoreSettings) -> CommitPage | None:
    """Return the commit page, for reading; ``None`` if an open would make it anew.

    Raises:
        UnknownFormat: another release wrote it.
    """
    try:
        return CommitPage.look(settings.files, folder, settings.boot_id)
    except (FileNotFoundError, Damaged):
        return None


def is_older_than_log(page: CommitPage, segment: Segment) -> bool:
    """Return whether frames of the active segment show that more was published than the page says.

    A writer may publish meanwhile, so the page is read again after the frames.
    """
    published = page.published
    if published is None or segment_of(published) > segment.number:
        return False
    is_below = segment_of(published) < segment.number
    start = HEADER_SIZE if is_below else offset_of(published)
    size = segment.file.size()
    if size <= start:
        return False
    witness = durable_by_witness(segment, start, size)
    if is_below and has_frame(segment):
        witness = max(witness, HEADER_SIZE)  # its start is published before it takes any commit
    now = page.published
    return witness > 0 and now is not None and now < pack_position(segment.number, witness)


def has_frame(segment: Segment) -> bool:
    """Return whether a segment begins with a whole frame."""
    try:
        return next(segment.frames(HEADER_SIZE, segment.file.size()), None) is not None
    except Damaged:
        return False


@contextlib.contextmanager
def reporting(path: Path, problems: list[Problem]) -> Iterator[None]:
    """Report what goes wrong with one file as a problem, and continue."""
    try:
        yield
    except Damaged as ex:
        problems.append(Problem(ex.path, ex.offset, ex.reason))
    except FileNotFoundError:
        problems.append(Problem(path, 0, FILE_IS_MISSING))
    except OSError as ex:
        problems.append(Problem(path, 0, f"the file cannot be read: {ex.strerror}"))


def end_of_active(segment: Segment, page: CommitPage | None) -> int:
    """Return where an active segment ends.

    That is where the commit page says. If the page cannot be trusted, it is behind the last whole
    frame before the torn tail. Bytes that were on stable storage once, by the page or by a whole
    frame, are no torn tail but damage, to be skipped.
    """
    published, durable = (page.published or 0, page.durable or 0) if page else (0, 0)
    if segment_of(published) == segment.number:
        return offset_of(published)
    durable = offset_of(durable) if segment_of(durable) == segment.number else 0
    size = segment.file.size()
    ends = [HEADER_SIZE]
    first_gap = 0
    for piece in salvage.pieces(segment, HEADER_SIZE, size):
        if not isinstance(piece, Gap):
            ends.append(piece.offset + piece.size)
        elif not first_gap:
            first_gap = piece.offset
            durable = max(durable, durable_by_witness(segment, first_gap, size))
    if first_gap and durable <= first_gap:
        return first_gap
    return max(*ends, durable)
