"""Background work: end values that have expired, compact, remove obsolete entries.

Every process that has the store open for writing does it, once a second; two of them at once do no
harm, because each step is on the condition that nothing has changed.
"""

from __future__ import annotations

import logging
import random
import secrets
import threading
import time
from typing import Final

from rundlet_server.storage.errors import StoreError
from rundlet_server.storage.etcd.cluster.calls import TXN
from rundlet_server.storage.etcd.cluster.requests import delete, one, put, span, unchanged
from rundlet_server.storage.etcd.commits import Commits
from rundlet_server.storage.etcd.counts import Counter
from rundlet_server.storage.etcd.layout import decode_envelope
from rundlet_server.storage.etcd.planning import Change, Holding
from rundlet_server.storage.etcd.proto import rundlet_etcd_pb2 as pb
from rundlet_server.storage.etcd.retention import INTERVAL_S, Keeping
from rundlet_server.storage.etcd.slots import Counts, decode_slot, sum_of
from rundlet_server.storage.etcd.views import Views, first_of

_log: Final = logging.getLogger(__name__)
_AT_ONCE: Final = 40
"""Keys that are ended by one commit; each takes three operations."""
_SLOTS_MAX: Final = 50
_SLOTS_AT_ONCE: Final = 120
_SLOT_OLD_US: Final = 600 * 1_000_000
_PATIENCE_S: Final = 10.0


class Tidying:
    """Ends values that have expired, and merges slots.

    Attributes:
        compact_if_due, release_abandoned: see ``Keeping``.
    """

    def __init__(self, views: Views, commits: Commits, counter: Counter, keeping: Keeping) -> None:
        self._views = views
        self._commits = commits
        self._counter = counter
        self.compact_if_due = keeping.compact_if_due
        self.release_abandoned = keeping.release_abandoned

    def expire(self) -> int:
        """End values that have expired by now; return how many entries were looked at."""
        time_us = self._views.clock.now_us()
        low, high = self._views.layout.expiries_until(time_us)
        found = self._views.read(
            None, lambda revision: [span(low, high, revision=revision, limit=_AT_ONCE)]
        )
        listed = list(found.answers[0].kvs)
        if not listed:
            return 0
        lapsed = self._counter.lapsed(listed, found.revision)
        live = {each.listed.key for each in lapsed}
        self._remove_stale([kv for kv in listed if kv.key not in live])
        if lapsed:
            self._end([each.key for each in lapsed], found.revision)
        return len(listed)

    def add_up_slots(self) -> bool:
        """Merge slots that no process has written for long, if there are many of them.

        Returns:
            There were many.
        """
        slots = self._views.layout.slots
        kvs = list(self._views.client.range(self._views.slots(0)).kvs)
        old_us = self._views.clock.now_us() - _SLOT_OLD_US
        idle = [kv for kv in kvs if decode_slot(kv).time_us < old_us][:_SLOTS_AT_ONCE]
        if len(idle) < _SLOTS_MAX:
            return False
        summary = sum_of(idle)
        total = Counts(0, summary.key_count, summary.value_bytes, summary.time_us)
        self._views.client.read(
            TXN,
            pb.TxnRequest(
                compare=[unchanged(kv.key, kv.mod_revision) for kv in idle],
                success=[
                    *(delete(kv.key) for kv in idle),
                    put(slots + secrets.token_hex(8).encode(), total.encode()),
                ],
            ),
        )
        return True

    def _end(self, keys: list[bytes], revision: int) -> None:
        data = self._views.layout.data
        requests = [one(data + key, revision=revision) for key in keys]
        time_us = self._views.clock.now_us()
        changes = []
        for key, answer in zip(keys, self._views.read_at(revision, requests), strict=True):
            kv = first_of(answer)
            if kv is not None:
                holding = Holding(kv.mod_revision, kv.version, decode_envelope(kv))
                if holding.envelope.is_lapsed(time_us):
                    changes.append(Change(key, holding, None, "expire"))
        held = [(each.key, each.before.revision) for each in changes if each.before]
        if changes:
            self._commits.write(changes, held, time_us)

    def _remove_stale(self, listed: list[pb.KeyValue]) -> None:
        """Remove entries whose values were overwritten; they are obsolete."""
        if listed:
            self._views.client.read(
                TXN,
                pb.TxnRequest(
                    compare=[unchanged(kv.key, kv.mod_revision) for kv in listed],
                    success=[delete(kv.key) for kv in listed],
                ),
            )


class Tidier:
    """Tidies in the background; the first commit or wait starts it."""

    def __init__(self, tidying: Tidying, interval_s: float) -> None:
        self._tidying = tidying
        self._interval_s = interval_s
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Start the thread unless it runs."""
        if self._thread is not None:
            return
        with self._lock:
            if self._thread is None and not self._stopping.is_set():
                self._thread = threading.Thread(
                    target=self._run, name="rundlet-etcd-tidying", daemon=True
                )
                self._thread.start()

    def close(self) -> None:
        """Stop the thread; a call of etcd's that it waits for ends in seconds."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(_PATIENCE_S)

    def _run(self) -> None:
        next_s = 0.0
        # Not in step with other processes, which do the same.
        while not self._stopping.wait(self._interval_s * random.uniform(0.5, 1.0)):
            try:
                while self._tidying.expire() and not self._stopping.is_set():
                    pass
                self._tidying.release_abandoned()
                if time.monotonic() >= next_s:
                    next_s = time.monotonic() + INTERVAL_S / 4
                    self._tidying.compact_if_due()
                    self._tidying.add_up_slots()
            except StoreError as ex:
                _log.debug("could not tidy: %s", ex)
            except Exception:
                _log.exception("the tidying of etcd failed unexpectedly")
