"""Find and clean the end of the log before a writer appends."""

from __future__ import annotations

from pathlib import Path

from rundlet_server.storage.errors import Damaged
from rundlet_server.storage.files import Files
from rundlet_server.storage.log.format.commit_page import CommitPage
from rundlet_server.storage.log.format.segment import Segment
from rundlet_server.storage.log.open.recovery import (
    durable_by_witness,
    ensure_end,
    settle_manifest,
)
from rundlet_server.storage.log.read.follower import Follower
from rundlet_server.storage.log.read.view import View


class LogEnd:
    """Finds the end of the log and cleans it; the caller holds the store's lock."""

    def __init__(
        self, files: Files, folder: Path, commit_page: CommitPage, follower: Follower
    ) -> None:
        self._files = files
        self._folder = folder
        self._commit_page = commit_page
        self._follower = follower

    def view(self) -> View:
        """Settle the manifest and the commit page, and return a view of all that is published."""
        view = self._follower.view
        if self._commit_page.is_at(view.position, view.manifest.generation):
            return view  # the common case costs only this comparison
        if self._commit_page.is_changing:
            settle_manifest(self._files, self._folder, self._commit_page)
        view = self._follower.refresh()
        if not self._commit_page.is_at(view.position, view.manifest.generation):
            view = self._with_end(view)
        return view

    def without_tail(self, view: View, segment: Segment, size: int) -> View:
        """Truncate the bytes behind the published end, and return the view.

        Frames among these bytes may show that the log was durable behind that end. Then no crashed
        writer left them, but an older commit page was put back: the frames are published again.

        Args:
            view: up to date.
            segment: the active segment.
            size: the size of its file, which differs from the published end, in bytes.

        Raises:
            Damaged: the file is shorter than the published end.
        """
        end = view.active.offset
        if size < end:
            reason = f"the file is shorter than the {end} bytes that were published"
            raise Damaged(segment.path, size, reason)
        if durable_by_witness(segment, end, size) > end:
            return self._with_end(view)
        segment.file.truncate(end)
        return view

    def _with_end(self, view: View) -> View:
        ensure_end(self._files, self._folder, view.manifest, self._commit_page)
        return self._follower.refresh()
