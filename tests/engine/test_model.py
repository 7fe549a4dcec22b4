"""Test that the log store behaves like the model after any sequence of operations.

Two stores are open on one folder, as in two processes. Segments are tiny, so that every few commits
one is sealed, indexed and merged. The test compares both stores with the model after every step. A
failing example prints its steps and the blob that replays it.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path

import hypothesis.strategies as st
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from rundlet_server.storage.errors import Compacted, InvalidOperation, StoreError
from rundlet_server.storage.interface import (
    Add,
    Condition,
    Delete,
    Limits,
    Op,
    Page,
    Put,
    Restore,
    Touch,
    Txn,
)
from rundlet_server.storage.log.maintain.bulk_load import transactions
from rundlet_server.storage.log.store import LogStore
from rundlet_server.storage.opening import open_log_store
from rundlet_server.storage.outcomes.idempotency import Idempotency
from rundlet_server.storage.settings import StoreSettings
from rundlet_server.storage.timeline import Event, Version
from tests.support import PATIENCE_S
from tests.support.disks.unsynced_files import UnsyncedFiles
from tests.support.models.idempotent import idempotencies
from tests.support.models.model import Clock, ModelStore

KEYS = ["a", "a\0", "a/b", "a/b/c", "a/d", "b", "é"]
KEEP_FOR_S = 50
SEGMENT_RECORDS_MAX = 4

keys = st.sampled_from(KEYS)
values = st.sampled_from([b"", b"7", b"-12", b"text", b"x" * 300, b"y" * 1_500])
ttls = st.sampled_from([None, None, 5.0, 60.0])
content_types = st.sampled_from(["application/octet-stream", "text/css", "text/x-rare"])
well_known_types = st.sampled_from(["application/octet-stream", "text/plain"])
revisions = st.integers(0, 60)
conditions = st.builds(
    Condition,
    keys,
    exists=st.sampled_from([None, None, True, False]),
    version=st.sampled_from([None, None, 0, 1, 2]),
    revisions=st.none() | st.lists(revisions, max_size=3).map(tuple),
    not_revisions=st.none() | st.lists(revisions, max_size=3).map(tuple),
)
operations = (
    st.builds(Put, keys, values, content_types, ttls)
    | st.builds(Put, keys, values)
    | st.builds(Delete, keys)
    | st.builds(Add, keys, st.integers(-20, 20))
    | st.builds(Touch, keys, ttls)
)
op_lists = st.lists(operations, max_size=4, unique_by=lambda op: op.key)
bounds = st.sampled_from([None, None, "a", "a\0", "a/b", "a/d", "b", "zz"])
places = st.integers(0, 1)


class StoreMachine(RuleBasedStateMachine):
    """Rules change the stores and the model alike; invariants compare them."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="rundlet-test-"))
        self.clock = Clock()
        self.model = ModelStore(self.clock)
        self.stores: list[LogStore] = []
        self.boot_id = 1

    @initialize(keep_versions=st.sampled_from([1, 3]), keep_for_s=st.sampled_from([0, KEEP_FOR_S]))
    def open_two(self, keep_versions: int, keep_for_s: int) -> None:
        self.keep_versions, self.keep_for_s = keep_versions, keep_for_s
        self.stores = [self.open(0), self.open(1)]

    def open(self, place: int) -> LogStore:
        """Only the first of the two caches values: the other reads them all from the log."""
        return open_log_store(
            self.folder,
            StoreSettings(
                keep_versions=self.keep_versions,
                keep_for_s=self.keep_for_s,
                segment_bytes_max=2_048,
                segment_records_max=SEGMENT_RECORDS_MAX,
                files=UnsyncedFiles(),
                clock=self.clock,
                boot_id=self.boot_id,
                cache_bytes_max=0 if place else 1_000_000,
            ),
        )

    def teardown(self) -> None:
        for store in self.stores:
            store.close()
        shutil.rmtree(self.folder)

    # --- writing ---------------------------------------------------------------------------

    def commit(self, place: int, txn: Txn) -> None:
        outcomes = []
        for store in (self.stores[place], self.model):
            try:
                outcomes.append(store.commit(txn))
            except StoreError as ex:
                details = getattr(ex, "failed", None) or getattr(ex, "index", None)
                outcomes.append((type(ex), details))
        assert outcomes[0] == outcomes[1], txn

    @rule(place=places, op=operations, once=st.none() | idempotencies)
    def write(self, place: int, op: Op, once: Idempotency | None) -> None:
        self.commit(place, Txn([op], idempotency=once))

    @rule(
        place=places,
        then=op_lists,
        conditions=st.lists(conditions, max_size=3),
        otherwise=st.none() | op_lists,
    )
    def transact(
        self,
        place: int,
        then: list[Op],
        conditions: list[Condition],
        otherwise: list[Op] | None,
    ) -> None:
        self.commit(place, Txn(then, conditions, otherwise))

    @rule(place=places, ops=st.lists(operations, min_size=4, max_size=16))
    def write_many(self, place: int, ops: list[Op]) -> None:
        for op in ops:
            self.commit(place, Txn([op]))

    @rule(place=places, rows=st.lists(st.tuples(keys, values, well_known_types), max_size=10))
    def load(self, place: int, rows: list[tuple[str, bytes, str]]) -> None:
        """A segment takes four records, so that four keys make a chunk."""
        encoded = [(key.encode(), value, content_type) for key, value, content_type in rows]
        self.stores[place].load(encoded)
        for start in range(0, len(rows), SEGMENT_RECORDS_MAX):
            for puts in transactions(encoded[start : start + SEGMENT_RECORDS_MAX], Limits()):
                self.model.commit(Txn(puts))

    @rule(place=places, key=keys, version=st.integers(1, 4))
    def restore(self, place: int, key: str, version: int) -> None:
        """What retention may have let go may be refused; another value is never restored."""
        op = Restore(key, version)
        is_needed = any(
            line.version == version and line.revision in self.needed(key)
            for line in self.model.history(key).versions
        )
        try:
            outcome = self.stores[place].commit(Txn([op]))
        except InvalidOperation:
            if is_needed:
                self.commit(place, Txn([op]))
            else:
                self.log_expiries(key)
            return
        assert outcome == self.model.commit(Txn([op]))

    @rule(place=places, key=keys)
    def erase(self, place: int, key: str) -> None:
        """The bytes are gone before the next step, and so are the times of some commits."""
        store = self.stores[place]
        needed = self.needed(key)
        lines = self.model.history(key).versions
        least = sum(line.version > 0 and line.revision in needed for line in lines)
        erased = store.erase(key, wait_s=PATIENCE_S)
        store._parts.eraser.join()  # else it may hold the maintenance lock still
        if not erased.is_found:
            assert not needed
            return
        expected = self.model.erase(key)
        assert (erased.revision, erased.is_pending) == (expected.revision, False)
        assert least <= erased.versions <= expected.versions
        self.model.forget_commits_without_events(store.stats().oldest_revision)

    # --- what must not be seen -------------------------------------------------------------

    @rule(seconds=st.sampled_from([-100, -5, 1, 5, 20, 60]))
    def move_clock(self, seconds: int) -> None:
        self.clock.advance(seconds)
        for store in (*self.stores, self.model):
            store.stats()  # all act on the new time, as it does not go back behind that

    @rule(place=places)
    def seal(self, place: int) -> None:
        self.stores[place]._writer.seal()

    @rule(place=places)
    def checkpoint(self, place: int) -> None:
        self.stores[place].maintainer.checkpoint()

    @rule(place=places)
    def verify_indexes(self, place: int) -> None:
        """Reads check nothing in index files that are verified."""
        for index in self.stores[place]._follower.refresh().indexes:
            index.verify()

    @rule(place=places)
    def merge_all(self, place: int) -> None:
        self.stores[place].maintainer.merge_all()

    @rule(place=places, thorough=st.booleans())
    def compact(self, place: int, thorough: bool) -> None:
        self.stores[place].maintainer.compact(thorough=thorough)
        self.log_expiries(*KEYS)

    @rule(place=places)
    def expire(self, place: int) -> None:
        self.stores[place].maintainer.expire()
        self.log_expiries(*KEYS)

    @rule(place=places)
    def remove_orphans(self, place: int) -> None:
        self.stores[place].maintainer.remove_orphans()

    @rule(place=places, is_clean=st.booleans())
    def reopen(self, place: int, is_clean: bool) -> None:
        if is_clean:
            self.stores[place].close()
        else:
            abandon(self.stores[place])
        self.stores[place] = self.open(place)

    @rule()
    @precondition(lambda self: self.clock.now_us >= self.model._time_us)
    def restart_machine(self) -> None:
        """The commit page counts for nothing then; time may go back to the last commit's."""
        for store in self.stores:
            abandon(store)
        self.boot_id += 1
        self.stores = [self.open(0), self.open(1)]
        for store in self.stores:
            store.stats()

    # --- reading ---------------------------------------------------------------------------

    @rule(
        place=places,
        prefix=st.sampled_from(["", "", "a", "a/", "b"]),
        start=bounds,
        end=bounds,
        limit=st.integers(1, 4),
        reverse=st.booleans(),
        delimiter=st.sampled_from([None, "/"]),
        back=st.integers(0, 5),
    )
    def list_pages(self, place: int, back: int, **options: object) -> None:
        """All pages of a list at the head, or, as far as it is kept, a little before."""
        at = max(self.bound(), self.model.stats().revision - back)
        after = None
        while True:
            page = self.stores[place].scan(**options, after=after, at=at)
            expected = self.model.scan(**options, after=after, at=at)
            assert page == expected
            if page.resume is None:
                break
            after = page.resume
        ranges = {name: options[name] for name in ("prefix", "start", "end")}
        assert self.stores[place].count(**ranges, at=at) == self.model.count(**ranges, at=at)

    @rule(
        place=places,
        back=st.integers(0, 30),
        prefix=st.sampled_from(["", "", "a", "b"]),
        limit=st.integers(1, 9),
        include_values=st.booleans(),
    )
    def follow_changes(self, place: int, back: int, **options: object) -> None:
        """All pages from a revision on to the head: complete, in order, commits whole."""
        head = self.model.stats().revision
        since = max(0, head - back)
        try:
            self.stores[place].changes(since)
        except Compacted:
            assert since < self.bound()
            return
        while since < head:
            page = self.stores[place].changes(since, **options)
            expected = self.model.changes(since, **options)
            assert in_order(page.events) == in_order(expected.events)
            assert page.next_since == expected.next_since
            since = page.next_since

    @rule(place=places, wanted=st.lists(keys, max_size=4), at=revisions)
    def get_many(self, place: int, wanted: list[str], at: int) -> None:
        at = min(at, self.model.stats().revision)
        try:
            snapshot = self.stores[place].get_many(wanted, at=at)
        except Compacted:
            snapshot = None
        if snapshot is None:
            assert at < self.bound()
        else:
            assert snapshot == self.model.get_many(wanted, at=at)

    @invariant()
    def the_head_is_equal(self) -> None:
        for store in self.stores:
            stats, expected = store.stats(), self.model.stats()
            assert stats.revision == expected.revision
            assert (stats.key_count, stats.value_bytes) == (
                expected.key_count,
                expected.value_bytes,
            )
            assert stats.oldest_revision <= self.bound()
            assert store.scan(include_values=True) == self.model.scan(include_values=True)
            for key in KEYS:
                assert store.get(key) == self.model.get(key)

    @invariant()
    def old_revisions_are_equal_or_compacted(self) -> None:
        head = self.model.stats().revision
        for store in self.stores:
            oldest = store.stats().oldest_revision
            for at in {oldest, self.bound(), head * 2 // 3, head // 3, max(0, head - 1)}:
                page = page_or_nothing(store, at)
                assert page is not None or at < self.bound()
                expected = self.model.scan(at=at, include_values=True)
                with self.model.times_of_outcomes():
                    remembered = self.model.scan(at=at, include_values=True)
                assert page in (None, expected, remembered)

    @invariant()
    def histories_tell_what_is_kept(self) -> None:
        for store in self.stores:
            for key in KEYS:
                history, expected = (each.history(key).versions for each in (store, self.model))
                assert is_subsequence(history, expected)
                assert self.needed(key) <= {line.revision for line in history}

    # --- what the model does not know ------------------------------------------------------

    def bound(self) -> int:
        """The newest revision behind which nothing need be readable any more."""
        then_us = self.model._time_us - self.keep_for_s * 1_000_000
        times = self.model.all_commits
        return max((revision for revision, time_us in times if time_us <= then_us), default=0)

    def needed(self, key: str) -> set[int]:
        """Revisions of a key that retention must keep."""
        lines = self.model.history(key).versions
        needed, successor, is_counted = set(), self.bound() + 1, True
        for number, line in enumerate(lines):
            is_counted &= line.version > 0 and number < self.keep_versions
            is_needed = number == 0 or is_counted or successor > self.bound()
            # Where nothing older is left, no tombstone behind the horizon tells anything.
            if is_needed and (line.version > 0 or line.revision > self.bound()):
                needed.add(line.revision)
            successor = line.revision
        return needed

    def log_expiries(self, *expired: str) -> None:
        self.model._now_us()
        self.model._log_expiries(expired)


def abandon(store: LogStore) -> None:
    """As a killed process does: nothing is finished or told; only its thread is ended."""
    store._housekeeper.stop()


def in_order(events: Sequence[Event]) -> list[tuple[object, ...]]:
    """Events without the order in which expiries of one commit are logged."""
    found: list[tuple[object, ...]] = []
    for _, commit in groupby(events, lambda event: event.revision):
        lines = list(commit)
        assert [line.is_last for line in lines] == [False] * (len(lines) - 1) + [True]
        lines = [line._replace(is_last=False) for line in lines]
        is_expiry = lines[0].kind == "expire"
        found += sorted(lines, key=lambda line: line.key) if is_expiry else lines
    return found


def page_or_nothing(store: LogStore, at: int) -> Page | None:
    try:
        return store.scan(at=at, include_values=True)
    except Compacted:
        return None


def is_subsequence(part: Sequence[Version], whole: Sequence[Version]) -> bool:
    rest: Iterator[Version] = iter(whole)
    return all(line in rest for line in part)


StoreMachine.TestCase.settings = settings(
    max_examples=50,
    stateful_step_count=50,
    deadline=None,
    print_blob=True,
    suppress_health_check=list(HealthCheck),
)
TestStoreModel = StoreMachine.TestCase
