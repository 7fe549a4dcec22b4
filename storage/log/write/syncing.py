"""Sync segments: one thread of a process at a time, and a segment never again after a failure.

A kernel reports a failed sync once for each time that a file was opened. If two threads sync the
same file, one gets the failure, and the sync of the other falsely reports success: by then the
kernel regards the lost pages as written.
"""

from __future__ import annotations

import errno
import threading
import time

from rundlet_server.storage.counting.measures import Measures
from rundlet_server.storage.log.format.commit_page import CommitPage
from rundlet_server.storage.log.format.segment import Segment


class Syncer:
    """Puts segments on stable storage, for one process. Any thread may use it."""

    def __init__(self, commit_page: CommitPage, measures: Measures) -> None:
        self._commit_page = commit_page
        self._measures = measures
        self._lock = threading.Lock()

    def sync(self, segment: Segment) -> None:
        """Sync a segment, and measure how long that takes; if it fails, abandon the segment.

        Raises:
            OSError: this sync failed, or one by another thread or process did, before or meanwhile.
        """
        with self._lock:
            self._require_intact(segment)
            started_ns = time.perf_counter_ns()
            try:
                segment.file.sync()
            except OSError:
                self._commit_page.abandoned = segment.number
                raise
            self._measures.synced(started_ns)
            self._require_intact(segment)  # some kernels report a failure to one process only

    def _require_intact(self, segment: Segment) -> None:
        if self._commit_page.abandoned == segment.number:
            raise OSError(errno.EIO, "another sync of the segment has failed")
