"""Waiting for commits: one watch of the slots for each process, for all that wait in it.

A watch that breaks is opened again from the last revision seen. A node that is frozen keeps its
connections open and sends nothing, so the watch asks for its progress every two seconds, and is
opened on another node if no answer comes.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Iterator
from typing import Final

from rundlet_server.storage.errors import StoreError
from rundlet_server.storage.etcd.client import EtcdClient, WatchStream
from rundlet_server.storage.etcd.layout import end_of
from rundlet_server.storage.etcd.proto import rundlet_etcd_pb2 as pb
from rundlet_server.storage.etcd.views import Views

_ASK_S: Final = 2.0
_SILENT_S: Final = 6.0
_PAUSE_S: Final = 0.2


class Watching:
    """Knows the newest commit. Any thread may use it; the first that waits starts the watch."""

    def __init__(self, views: Views) -> None:
        self._views = views
        self._condition = threading.Condition()
        self._newest = 0
        self._thread: threading.Thread | None = None
        self._stopping = threading.Event()
        self._requests: queue.SimpleQueue[pb.WatchRequest | None] = queue.SimpleQueue()
        self._stream: WatchStream | None = None
        self._heard_s = 0.0

    def wait(self, since: int, timeout_s: float) -> int:
        """See ``Store.wait``."""
        base = self._views.base
        self._start()
        with self._condition:
            self._condition.wait_for(lambda: self._newest - base > since, timeout_s)
            return max(self._newest - base, since)

    def saw(self, revision: int) -> None:
        """Wake those that wait for less than a revision of etcd's."""
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

    def _start(self) -> None:
        with self._condition:
            if self._thread is not None:
                return
            # What was committed before is known to the first that waits, too.
            summary, _ = self._views.summary()
            self._newest = max(self._newest, summary.revision, self._views.base)
            self._thread = threading.Thread(
                target=self._run, name="rundlet-etcd-watch", daemon=True
            )
            self._thread.start()

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._follow(self._views.client)
            except StoreError:
                # The cluster may be back at the next try; whoever waits waits on.
                self._stopping.wait(_PAUSE_S)

    def _follow(self, client: EtcdClient) -> None:
        """Watch until the stream breaks or falls silent."""
        slots = self._views.layout.slots
        client.range(pb.RangeRequest(key=slots))  # chooses a node that answers
        create = pb.WatchCreateRequest(
            key=slots, range_end=end_of(slots), start_revision=self._newest + 1
        )
        self._requests = queue.SimpleQueue()
        self._requests.put(pb.WatchRequest(create_request=create))
        self._heard_s = time.monotonic()
        with client.watch(self._outgoing(self._requests)) as responses:
            self._stream = responses
            if self._stopping.is_set():
                return
            for response in responses:
                self._heard_s = time.monotonic()
                if response.compact_revision:
                    self.saw(self._views.summary()[0].revision)
                    return
                if response.events:
                    self.saw(response.events[-1].kv.mod_revision)

    def _outgoing(
        self, requests: queue.SimpleQueue[pb.WatchRequest | None]
    ) -> Iterator[pb.WatchRequest]:
        """Yield what is sent; breaks the stream if it has been silent for long."""
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
