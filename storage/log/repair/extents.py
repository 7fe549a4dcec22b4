"""Find which segments a repair reads, and up to where."""

from __future__ import annotations

import contextlib
from pathlib import Path

from rundlet_server.storage.errors import Damaged, UnknownFormat
from rundlet_server.storage.files import file_size
from rundlet_server.storage.log.check.opened import OpenedStore, end_of_active, look_at_commit_page
from rundlet_server.storage.log.format.locator import offset_of, segment_of
from rundlet_server.storage.log.format.manifest import Manifest
from rundlet_server.storage.log.format.names import segment_name, segment_numbers
from rundlet_server.storage.log.format.segment import APPENDED, HEADER_SIZE, Segment
from rundlet_server.storage.settings import StoreSettings


class Extents:
    """Decides where each segment ends, from all files of the folder.

    Attributes:
        is_mixed: the folder holds segments that the manifest has never known, or there is no
            manifest that can be read.
    """

    def __init__(self, folder: Path, settings: StoreSettings, old: Manifest | None) -> None:
        self._folder = folder
        self._settings = settings
        self._files = settings.files
        self._old = old
        self._numbers = segment_numbers(self._files, folder)
        self._published, self._durable = self._positions()
        self.is_mixed = old is None or bool(self._unnamed(old))

    def ends(self) -> dict[int, int | None]:
        """Return the segments to read by number, and up to where; ``None`` for all of the file.

        The result may include a segment that is missing.
        """
        if self._old is None:
            ends = self._ends_without_manifest()
            newest = max(self._numbers, default=0)
        else:
            ends = self._ends_by_manifest(self._old)
            newest = max(ends)
        if segment_of(self._published) > newest:
            ends[segment_of(self._published)] = offset_of(self._published)
        return ends

    def _positions(self) -> tuple[int, int]:
        """Return what the commit page calls published and durable; 0 if it is not known."""
        try:
            page = look_at_commit_page(self._folder, self._settings)
        except UnknownFormat:
            page = None
        return (page.published or 0, page.durable or 0) if page else (0, 0)

    def _unnamed(self, old: Manifest) -> list[int]:
        """Return the segments that the manifest has never known and that may hold commits."""
        return [
            number
            for number in self._numbers
            if number >= old.next_segment and self._size(number) > HEADER_SIZE
        ]

    def _ends_by_manifest(self, old: Manifest) -> dict[int, int | None]:
        opened = OpenedStore.open(self._folder, self._settings)
        ends: dict[int, int | None] = dict(opened.ends)
        active = old.active.number
        if active in opened.segments:
            # Whole frames may be behind what the page calls published: see ``adopt_tail``.
            ends[active] = max(opened.ends[active], end_of_active(opened.segments[active], None))
        else:
            ends[active] = self._end_by_page(active)
        return ends | {number: self._end_by_page(number) for number in self._unnamed(old)}

    def _ends_without_manifest(self) -> dict[int, int | None]:
        """Return the ends; the newest segment with appended commits counts as the active one."""
        ends: dict[int, int | None] = {
            number: self._end_by_page(number) for number in self._numbers
        }
        for number in reversed(self._numbers):
            with contextlib.suppress(Damaged):
                segment = Segment.open(self._files, self._folder, number, writable=False)
                if segment.header.origin != APPENDED:
                    continue
                ends[number] = max(end_of_active(segment, None), self._told(number))
            break  # a segment with a damaged header is read as a whole: it may be the active one
        return ends

    def _end_by_page(self, number: int) -> int | None:
        """Return where a segment ends by the commit page and its size; ``None`` if unknown."""
        told = self._told(number)
        return max(told, self._size(number)) if told else None

    def _told(self, number: int) -> int:
        """Return up to where the commit page knows commits in a segment; 0 if it says nothing."""
        for position in (self._published, self._durable):
            if segment_of(position) == number:
                return offset_of(position)
        return 0

    def _size(self, number: int) -> int:
        try:
            return file_size(self._files, self._folder / segment_name(number))
        except FileNotFoundError:
            return 0
