"""Watch the commits as they come: one watch for all waits and feeds of a process.

It keeps the newest commits, so that a feed which follows is served from memory. A watch that breaks
is opened again from the last revision seen. A node that is frozen keeps its connections open and
sends nothing, so the watch asks for its progress every two seconds, and is opened on another node
if no answer comes.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections import deque
from collections.abc import Iterator
from typing import Final

from rundlet_server.storage.errors import StoreError
from rundlet_server.storage.etcd.cluster.client import FailedCall, WatchStream
from rundlet_server.storage.etcd.cluster.requests import one
from rundlet_server.storage.etcd.proto import rundlet_etcd_pb2 as pb
from rundlet_server.storage.etcd.stream import CommitEvents, CommitStream
from rundlet_server.storage.etcd.views import Views

_log: Final = logging.getLogger("rundlet.store")

_ASK_S: Final = 2.0
_SILENT_S: Final = 6.0
_PAUSE_S: Final = 0.2
_FAULT_PAUSE_S: Final = 1.0
_KEPT_BYTES_MAX: Final = 16 * 1024 * 1024
_KEPT_OVERHEAD: Final = 500
"""Bytes of memory for a commit beside its keys and values, about."""
_CATCH_UP_REVISIONS: Final = 1_000
"""If the first feed is behind by no more than this, the watch begins at its revision."""


class Watching:
    """Knows the newest commits. Any thread may use it; the first that waits starts the watch."""

    def __init__(self, views: Views) -> None:
        self._views = views
        self._condition = threading.Condition()
        self._newest = 0  # etcd's revision of the newest commit that is known
        self._since = 0  # all commits after this one, up to the one below, are kept
        self._reached = 0
        self._kept: deque[CommitEvents] = deque()
        self._kept_bytes = 0
        self._thread: threading.Thread | None = None
        self._stopping = threading.Event()
        self._requests: queue.SimpleQueue[pb.WatchRequest | None] = queue.SimpleQueue()
        self._stream: WatchStream | None = None
        self._heard_s = 0.0

    def wait(self, since: int, timeout_s: float) -> int:
        """See ``Store.wait``."""
        base = self._views.base
        self._start(base + since)
        with self._condition:
            self._condition.wait_for(lambda: self._newest - base > since, timeout_s)
            return max(self._newest - base, since)

    def recent(self, since: int, end: int, timeout_s: float) -> list[CommitEvents] | None:
        """Return the commits after one revision up to another, both etcd's.

        Returns:
            ``None`` if they are not kept, or do not come within the time.
        """
        self._start(since)
        with self._condition:
            if since < self._since:
                return None
            if not self._condition.wait_for(lambda: self._reached >= end, timeout_s):
                return None
            if since < self._since:
                return None
            return [commit for commit in self._kept if since < commit.revision <= end]

    def saw(self, revision: int) -> None:
        """Wake the threads that wait for a revision of etcd's up to this one."""
        with self._condition:
            if revision > self._newest:
                self._newest = revision
                self._condition.notify_all()

    def close(self) -> None:
        """End the watch."""
        self._stopping.set()
        self._requests.put(None)
        stream, thread = self._stream, self._thread
        if stream is not None:
            stream.cancel()
        if thread is not None and thread is not threading.current_thread():
            thread.join(_SILENT_S)

    def _start(self, since: int) -> None:
        if self._thread is not None:
            return
        # The first wait must know of earlier commits, too.
        newest = max(self._views.summary()[0].revision, self._views.base)
        oldest = self._views.oldest()
        with self._condition:
            if self._thread is not None or self._stopping.is_set():
                return
            is_near = max(oldest, newest - _CATCH_UP_REVISIONS) <= since <= newest
            self._since = self._reached = since if is_near else newest
            self._newest = max(self._newest, newest)
            self._thread = threading.Thread(
                target=self._run, name="rundlet-etcd-watch", daemon=True
            )
            self._thread.start()

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._follow()
            except StoreError:
                # The cluster may be back at the next try; all waits go on.
                self._stopping.wait(_PAUSE_S)
            except Exception:
                _log.exception("the watch of etcd failed unexpectedly")
                self._stopping.wait(_FAULT_PAUSE_S)

    def _follow(self) -> None:
        """Watch until commits that were not seen are compacted, or until the store is closed.

        Raises:
            FailedCall: the stream broke, fell silent, or ended early.
            Unavailable: no node answers.
        """
        self._views.client.range(one(self._views.layout.slots))  # chooses a node that answers
        commits = CommitStream(self._views.layout, self._views.base)
        self._requests = queue.SimpleQueue()
        self._requests.put(commits.request(self._reached))
        self._heard_s = time.monotonic()
        with self._views.client.watch(self._outgoing(self._requests)) as responses:
            self._stream = responses
            if self._stopping.is_set():
                return
            for response in responses:
                self._heard_s = time.monotonic()
                if response.compact_revision:
                    self._begin_at(self._views.summary()[0].revision)
                    return
                if response.canceled:
                    break
                for commit in commits.take(response):
                    self._keep(commit)
            raise FailedCall("unknown", "the watch ended early")

    def _keep(self, commit: CommitEvents) -> None:
        with self._condition:
            self._kept.append(commit)
            self._kept_bytes += commit.read_bytes + _KEPT_OVERHEAD
            while self._kept_bytes > _KEPT_BYTES_MAX and self._kept:
                dropped = self._kept.popleft()
                self._since = dropped.revision
                self._kept_bytes -= dropped.read_bytes + _KEPT_OVERHEAD
            self._reached = commit.revision
            self._newest = max(self._newest, commit.revision)
            self._condition.notify_all()

    def _begin_at(self, revision: int) -> None:
        """Begin again behind commits that were compacted before they were seen."""
        with self._condition:
            self._kept.clear()
            self._kept_bytes = 0
            self._since = self._reached = revision
            self._newest = max(self._newest, revision)
            self._condition.notify_all()

    def _outgoing(
        self, requests: queue.SimpleQueue[pb.WatchRequest | None]
    ) -> Iterator[pb.WatchRequest]:
        """Yield the requests to send; cancel the stream if no answer has come for long."""
        while not self._stopping.is_set():
            try:
                request = requests.get(timeout=_ASK_S)
            except queue.Empty:
                if time.monotonic() - self._heard_s > _SILENT_S:
                    if self._stream is not None:
                        self._stream.cancel()
                    return
                request = pb.WatchRequest(progress_request=pb.WatchProgressRequest())
            if request is None:
                return
            yield request
