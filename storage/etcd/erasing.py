"""Erasing a key: no read shows its versions from then on; etcd drops their bytes with its history.

etcd drops history by revision, of all keys of the cluster. Dropping that of one key at once would
drop the history of all others, too. So an erasure

1. deletes the value, leaves a tombstone, and lists the key below ``e/``, in one commit. From here
   on every read of an earlier revision leaves the key out (``Views.read``);
2. is pending until the retention has passed (``retention``) and etcd has compacted its revision:
   then etcd has no version of the key any more, and the entry below ``e/`` is removed.

The pages of etcd's file that held them are free then; a defragment of each node returns them.
"""

from __future__ import annotations

import dataclasses
import random
import time
from typing import Final

from rundlet_server.storage.bounds import ERASURES_MAX
from rundlet_server.storage.errors import Unavailable
from rundlet_server.storage.etcd.cluster.requests import counting, one
from rundlet_server.storage.etcd.commits import CONTENTION_S, Commits
from rundlet_server.storage.etcd.layout import decode_envelope, decode_tombstone, end_of
from rundlet_server.storage.etcd.past import Past
from rundlet_server.storage.etcd.planning import Change, Holding
from rundlet_server.storage.etcd.proto import rundlet_etcd_pb2 as pb
from rundlet_server.storage.etcd.retention import Keeping
from rundlet_server.storage.etcd.views import Found, Views, first_of
from rundlet_server.storage.timeline import Erased

_PAUSE_S: Final = 0.01
_LOOK_S: Final = 0.25


class Eraser:
    """Erases keys of one store. Any thread may use it."""

    def __init__(self, views: Views, commits: Commits, past: Past, keeping: Keeping) -> None:
        self._views = views
        self._commits = commits
        self._past = past
        self._keeping = keeping

    def erase(self, key: bytes, wait_s: float) -> Erased:
        """See ``Store.erase``.

        Raises:
            Unavailable: also if too many erasures are pending.
        """
        until_s = time.monotonic() + CONTENTION_S
        while time.monotonic() < until_s:
            with self._commits.stripe([key]):
                erased = self._try(key)
            if erased is not None:
                return self._waited(erased, wait_s)
            time.sleep(random.uniform(0, _PAUSE_S))
        raise Unavailable("others wrote the same key all the time; try again")

    def _try(self, key: bytes) -> Erased | None:
        """Erase a key if nothing comes between; otherwise return ``None``."""
        views, layout = self._views, self._views.layout
        found = views.read(
            None,
            lambda _: [
                one(layout.data + key),
                one(layout.tombs + key),
                one(layout.erased + key),
                counting(layout.erased, end_of(layout.erased)),
            ],
        )
        kv, tombstone, last = map(first_of, found.answers[:3])
        if kv is None:
            earlier = self._earlier(found, tombstone)
            if earlier is not None:
                return earlier
        if found.answers[3].count >= ERASURES_MAX:
            reason = f"{ERASURES_MAX} erased keys are still in the history that is kept"
            raise Unavailable(f"{reason}; shorten the retention, or try again later")
        time_us = views.clock.now_us()
        before = None if kv is None else Holding(kv.mod_revision, kv.version, decode_envelope(kv))
        held = [(key, before.revision if before else 0)]
        if before is not None and before.envelope.is_lapsed(time_us):
            self._commits.write([Change(key, before, None, "expire")], held, time_us)
            return None
        revision = self._commits.write([Change(key, before, None, "erase")], held, time_us)
        if revision is None:
            return None
        # Counted only now, so that little time passes between the read and the write.
        since = last.mod_revision if last is not None else 0
        count = self._past.count_values(key, since, revision - 1)
        return Erased(revision - views.base, count, is_pending=True)

    def _earlier(self, found: Found, tombstone: pb.KeyValue | None) -> Erased | None:
        """Return the result for a key without anything to erase; ``None`` if it can be erased."""
        if tombstone is None:
            return Erased(found.moment.revision, 0, is_pending=False, is_found=False)
        if decode_tombstone(tombstone).kind != "erase":
            return None
        revision = tombstone.mod_revision - self._views.base
        return Erased(revision, 0, is_pending=self._is_pending(revision))

    def _waited(self, erased: Erased, wait_s: float) -> Erased:
        """Wait until etcd has compacted an erasure, if the retention allows that in time."""
        end_s = time.monotonic() + wait_s
        while erased.is_pending and time.monotonic() < end_s:
            if self._keeping.kept_for_s() > end_s - time.monotonic():
                break
            self._keeping.compact(wait=True)
            if self._is_pending(erased.revision):
                time.sleep(max(0.0, min(_LOOK_S, end_s - time.monotonic())))
            else:
                return dataclasses.replace(erased, is_pending=False)
        return erased

    def _is_pending(self, revision: int) -> bool:
        return self._views.oldest() - self._views.base < revision
