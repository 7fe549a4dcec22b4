"""Rolling: seal the active segment and continue the log in a new one.

A roll has these steps; a process may die between any two of them:

1. sync the old segment, whatever the policy: a sealed segment is durable. If an earlier sync of it
   failed, another one could falsely report success. In this case, copy what was published behind
   the last durable position (``unsynced_tail``), and seal the old segment there;
2. create the new segment and make its name durable: a crash leaves an orphaned file;
3. write the manifest that seals the old segment and names the new one;
4. publish the start of the new segment, then announce the manifest (``install_manifest``).

The caller holds the store's lock.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

from rundlet_server.storage.log.format.commit_page import CommitPage
from rundlet_server.storage.log.format.locator import offset_of, segment_of
from rundlet_server.storage.log.format.manifest import IndexState, SegmentState
from rundlet_server.storage.log.format.segment import APPENDED, Segment, SegmentHeader
from rundlet_server.storage.log.open.recovery import install_manifest
from rundlet_server.storage.log.read.follower import Follower
from rundlet_server.storage.log.read.view import View
from rundlet_server.storage.log.write.syncing import Syncer
from rundlet_server.storage.log.write.unsynced_tail import copy_unsynced_tail
from rundlet_server.storage.settings import StoreSettings


class Roller:
    """Seals segments, for one process."""

    def __init__(
        self,
        folder: Path,
        settings: StoreSettings,
        *,
        commit_page: CommitPage,
        follower: Follower,
        syncer: Syncer,
    ) -> None:
        self._folder = folder
        self._files = settings.files
        self._syncer = syncer
        self._commit_page = commit_page
        self._follower = follower

    def roll(self, view: View) -> View:
        """Seal the active segment, continue in a new one, and return the new view.

        Raises:
            OSError: the disk failed; what was acknowledged stands.
            Damaged: data that a failed sync may have lost can no longer be read.
        """
        active = view.active
        old = view.segment(active.segment)
        durable = self._commit_page.durable or 0
        sealed = SegmentState(
            old.number, active.offset, active.record_count, *view.head, is_indexed=False
        )
        if durable >= view.position:
            return self.seal(view, (sealed,))
        if self._commit_page.abandoned != old.number:
            self._syncer.sync(old)
            return self.seal(view, (sealed,))
        # Reserve the number first: no manifest may be older than a segment with commits.
        number = view.manifest.next_segment
        manifest = view.manifest.changed(next_segment=number + 1)
        install_manifest(self._files, self._folder, manifest, self._commit_page)
        view = self._follower.refresh()
        place = offset_of(durable) if segment_of(durable) == old.number else 0
        states = copy_unsynced_tail(self._files, self._folder, view, durable=place, number=number)
        return self.seal(view, states)

    def seal(
        self, view: View, sealed: tuple[SegmentState, ...], index: IndexState | None = None
    ) -> View:
        """Do steps 2 to 4 for segments that are durable, and return the new view.

        Args:
            view: up to date.
            sealed: what takes the active segment's place in the new manifest.
            index: the index file of these segments, if they have one already.
        """
        manifest = view.manifest
        number = manifest.next_segment
        header = SegmentHeader.with_new_salt(APPENDED, number, manifest.store_id)
        Segment.create(self._files, self._folder, header)
        self._files.sync_folder(self._folder)
        opened = dataclasses.replace(
            sealed[-1], number=number, size=0, record_count=0, is_indexed=False
        )
        changed = manifest.changed(
            next_segment=number + 1,
            segments=(*manifest.segments[:-1], *sealed, opened),
            next_index=index.number + 1 if index else None,
            indexes=(index, *manifest.indexes) if index else None,
        )
        install_manifest(self._files, self._folder, changed, self._commit_page)
        return self._follower.refresh()
