"""Writers and followers of a store that run through faults of its engine.

A write that failed as ``Unavailable`` was certainly not applied; one that failed as
``OutcomeUnknown`` may have been.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from rundlet_server.storage.address import StoreAddress
from rundlet_server.storage.errors import OutcomeUnknown, StoreError, Unavailable
from rundlet_server.storage.interface import Add, Put, Store, Txn
from rundlet_server.storage.opening import open_store
from tests.faults.test_linearizability import StoreTarget
from tests.support import PATIENCE_S
from tests.support.backends import value
from tests.support.models.linearizability import NotDone, Unknown
from tests.support.processes.servers import wait_for

WRITERS = 4
BACK_S = 15.0
CALM_S = 1.5
"""So long the writers write before and after a fault."""


@dataclass
class Load:
    """Writers of one store, and what became of their writes.

    Attributes:
        acknowledged: keys whose write was acknowledged, with the value and the revision.
        refused: keys whose write was certainly not applied.
        unknown: keys whose write may have been applied.
        others: errors of any other kind.
        times_s: of acknowledgements.
    """

    acknowledged: dict[str, tuple[bytes, int]] = field(default_factory=dict)
    refused: set[str] = field(default_factory=set)
    unknown: set[str] = field(default_factory=set)
    others: list[Exception] = field(default_factory=list)
    times_s: list[float] = field(default_factory=list)

    def write(self, store: Store, number: int, stopping: threading.Event) -> None:
        for count in itertools.count():
            if stopping.is_set():
                return
            key, content = f"{number}/{count}", b"%d" % count
            try:
                commit = store.commit(Txn([Put(key, content), Add(f"count/{number}", 1)]))
            except OutcomeUnknown:
                self.unknown.add(key)
            except Unavailable:
                self.refused.add(key)
            except Exception as ex:  # told by ``check``
                self.others.append(ex)
                return
            else:
                self.acknowledged[key] = (content, commit.revision)
                self.times_s.append(time.monotonic())

    def wait_for_writes(self, since_s: float) -> float:
        """Wait until a write that began to count later is acknowledged; return how long it took."""
        count = len(self.times_s)
        wait_for(lambda: len(self.times_s) > count + WRITERS, 2 * BACK_S)
        return next(each for each in self.times_s[count:]) - since_s


@contextmanager
def writing(address: str) -> Iterator[tuple[Load, list[Store]]]:
    """Write to two stores, as two servers have them open, while the block runs."""
    stores = [open_store(StoreAddress.parse(address)) for _ in range(2)]
    load, stopping = Load(), threading.Event()
    threads = [
        threading.Thread(target=load.write, args=(stores[number % 2], number, stopping))
        for number in range(WRITERS)
    ]
    for thread in threads:
        thread.start()
    try:
        wait_for(lambda: len(load.times_s) > WRITERS)
        time.sleep(CALM_S)
        yield load, stores
        time.sleep(CALM_S)
        stopping.set()
        for thread in threads:
            thread.join(60)
            assert not thread.is_alive()
    finally:
        stopping.set()
        for store in stores:
            store.close()


def check(load: Load, store: Store, besides: Counter[str] | None = None) -> None:
    """Compare what the store has with what the writers were told.

    ``besides`` are other events of the feed.
    """
    assert load.others == []
    found = everything(store)
    lost = lost_writes(load, found)
    assert lost == set(), f"{len(lost)} of {len(load.acknowledged)} acknowledged writes are lost"
    assert not load.refused & found.keys(), "what was told as not applied is there"
    written = {key for key in found if not key.startswith("count/")}
    assert written <= load.acknowledged.keys() | load.unknown
    for number in range(WRITERS):
        count = sum(key.startswith(f"{number}/") for key in written)
        assert value(store, f"count/{number}") == b"%d" % count  # each was done once
    stats = store.stats()
    assert stats.key_count == store.count() == len(found)
    assert stats.value_bytes == sum(len(content) for content, _ in found.values())
    assert feed_of(store) == Counter(written) + (besides or Counter())


def everything(store: Store) -> dict[str, tuple[bytes, int]]:
    """Return all keys of a store, each with its value and revision."""
    page = store.scan(include_values=True)
    keys = list(page.keys)
    while page.resume is not None:
        page = store.scan(include_values=True, after=page.resume, at=page.moment)
        keys += page.keys
    return {info.key: (info.entry.value, info.revision) for info in keys}


def lost_writes(load: Load, found: Mapping[str, tuple[bytes, int]]) -> set[str]:
    """Return the keys that were acknowledged and are not found as they were written."""
    return {key for key, written in load.acknowledged.items() if found.get(key) != written}


def feed_of(store: Store) -> Counter[str]:
    """Return how often each key is in the feed, whose revisions must rise."""
    keys: Counter[str] = Counter()
    since, last = 0, 0
    head = store.stats().revision
    while since < head:
        page = store.changes(since, limit=500)
        for event in page.events:
            assert event.revision >= last
            last = event.revision
            if not event.key.startswith("count/"):
                keys[event.key] += 1
        since = page.next_since
    return keys


class Following:
    """Follows the feed in a thread, as a reader of a server does.

    Attributes:
        keys: how often each was seen.
    """

    def __init__(self, store: Store) -> None:
        self.keys: Counter[str] = Counter()
        self._store = store
        self._since = 0
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while True:
            try:
                self._store.wait(self._since, 1)
                page = self._store.changes(self._since)
            except StoreError as ex:
                if "closed" in str(ex):
                    return
                continue
            self.keys.update(e.key for e in page.events if not e.key.startswith("count/"))
            self._since = page.next_since

    def check(self, load: Load) -> None:
        """What was seen came once, and what was acknowledged long before the end was seen."""
        self._thread.join(PATIENCE_S)
        assert set(self.keys.values()) == {1}
        assert len(self.keys) > len(load.acknowledged) * 0.5


class FailingTarget(StoreTarget):
    """A store of which operations fail as a server's do."""

    def __getattribute__(self, name: str) -> object:
        found = super().__getattribute__(name)
        if name not in ("get", "put", "swap", "delete", "add"):
            return found

        def done(*arguments: str) -> object:
            try:
                return found(*arguments)
            except OutcomeUnknown:
                raise Unknown from None
            except Unavailable:
                raise NotDone from None

        return done
