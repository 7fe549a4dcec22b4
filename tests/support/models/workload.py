"""A random workload on a store, and the states that the store may have during and after it."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar

from rundlet_server.storage.errors import DiskFull, OutcomeUnknown, Unavailable
from rundlet_server.storage.files import Files
from rundlet_server.storage.interface import Add, Delete, Op, Put, Restore, Row, Touch, Txn
from rundlet_server.storage.log.store import LogStore
from rundlet_server.storage.metadata import NO_METADATA, metadata_of
from rundlet_server.storage.opening import open_log_store
from rundlet_server.storage.settings import StoreSettings, SyncPolicy
from tests.support.disks.sample_stores import State, described, state_of
from tests.support.models.idempotent import numbered
from tests.support.models.model import Clock
from tests.support.quiet import quiet

FAILURES = (OSError, Unavailable, DiskFull, OutcomeUnknown)
"""The errors that background work may raise when the disk fails; damage is not among them."""
FAILURES_MAX = 20
"""The number of calls in a row that may fail."""
KEYS = ["a", "b", "c/1", "c/2", "é"]
NUMBER_TYPE = "text/plain; charset=utf-8"
METADATA = {
    3: metadata_of({"by": "ü"}),
    700: metadata_of({f"name-{number:02}": "x" * 100 for number in range(16)}),
}
"""The metadata of values of these sizes; others have none."""

_Answer = TypeVar("_Answer")


class Held(NamedTuple):
    """The value of a key."""

    value: bytes
    version: int
    content_type: str
    expires_us: int | None = None


Contents = dict[str, Held]


def tiny_settings(files: Files, clock: Clock, boot_id: int, sync: SyncPolicy) -> StoreSettings:
    """Return settings with tiny segments, so that a few commits exercise all of a store's work."""
    return StoreSettings(
        sync=sync,
        files=files,
        clock=clock,
        boot_id=boot_id,
        segment_records_max=4,
        keep_for_s=0,
        keep_versions=2,
        sync_interval_s=3_600,
        cache_bytes_max=0,
    )


class Expectation:
    """The states that a store may have: one, or several after an operation of unknown outcome.

    Attributes:
        running: what readers may find, and who opens the folder after a process died.
        after_cut: what may be found after a power cut; under another policy than ``always``
            also what was answered since the last sync, each state on the way to it.
    """

    def __init__(self, clock: Clock, sync: SyncPolicy) -> None:
        self._clock = clock
        self._is_lax = sync != "always"
        self.running: list[Contents] = [{}]
        self._since_sync: list[Contents] = [{}]
        self._pending: list[Contents] = []

    @property
    def after_cut(self) -> list[Contents]:
        return self._since_sync + self._pending

    @property
    def possible(self) -> list[Contents]:
        """Return the states that readers may find, with and without an in-flight commit."""
        return self.running + self._pending

    def begin(self, ops: Sequence[Op]) -> None:
        """Record an in-flight commit: a reader may find it or not."""
        self._pending = [self._applied(state, ops) for state in self.running]

    def answered(self, found: State) -> None:
        """Record that the commit was acknowledged, and the state after it."""
        matching = [state for state in self._pending if self._visible(state) == found]
        assert matching, found
        self.running = matching[:1]
        self._since_sync = [*self._since_sync, *self.running] if self._is_lax else self.running
        self._pending = []

    def refused(self) -> None:
        """Record that the commit was certainly not applied."""
        self._pending = []

    def unknown(self) -> None:
        """Record that the commit may be visible now, later, or never."""
        self.running = [*self.running, *self._pending]
        self._since_sync = [*self._since_sync, *self._pending]
        self._pending = []

    def seen(self, found: State) -> None:
        """Record a state that a reader found: with ``always`` it stays, acknowledged or not."""
        matching = [state for state in self.possible if self._visible(state) == found]
        assert matching, found
        if not self._is_lax:
            self._since_sync = matching

    def synced(self) -> None:
        """Record that all acknowledged commits are on stable storage."""
        self._since_sync = list(self.running)

    def check_running(self, found: State, context: str = "") -> None:
        """Check that a reader may find this state."""
        assert found in [self._visible(state) for state in self.possible], context

    def check_after_cut(self, found: State, context: str = "") -> None:
        """Check that a power cut may leave this state."""
        assert found in [self._visible(state) for state in self.after_cut], context

    def is_held(self, key: str) -> bool:
        """Return whether a key certainly exists."""
        return all(key in self._visible(state) for state in self.running)

    def _visible(self, state: Contents) -> State:
        return {key: held[:3] for key, held in state.items() if not self._is_over(held)}

    def _is_over(self, held: Held) -> bool:
        return held.expires_us is not None and held.expires_us <= self._clock.now_us

    def _applied(self, state: Contents, ops: Sequence[Op]) -> Contents:
        applied = {key: held for key, held in state.items() if not self._is_over(held)}
        for op in ops:
            self._apply(applied, op)
        return applied

    def _apply(self, state: Contents, op: Op) -> None:
        old = state.get(op.key, Held(b"0", 0, NUMBER_TYPE))
        match op:
            case Put(_, value, content_type, ttl_s, expires_us, metadata):
                end = self._end(ttl_s) if expires_us is None else expires_us
                about = described(content_type, metadata)
                state[op.key] = Held(value, old.version + 1, about, end)
            case Delete():
                state.pop(op.key, None)
            case Add(_, by):
                number = b"%d" % (int(old.value) + by)
                state[op.key] = old._replace(value=number, version=old.version + 1)
            case Touch(_, ttl_s):
                state[op.key] = old._replace(version=old.version + 1, expires_us=self._end(ttl_s))
            case Restore():
                raise AssertionError("what can be restored depends on retention")

    def _end(self, ttl_s: float | None) -> int | None:
        return None if ttl_s is None else self._clock.now_us + round(ttl_s * 1_000_000)


class Workload:
    """Random commits, loads, checkpoints, compactions and restarts; it continues after failures.

    Attributes:
        expected: what may be there.
        refusals: commits that were not answered.
        reader: one more store on the folder, while the workload runs.
    """

    def __init__(
        self, folder: Path, chance: random.Random, clock: Clock, sync: SyncPolicy = "always"
    ) -> None:
        self.folder = folder
        self.expected = Expectation(clock, sync)
        self.refusals = 0
        self.reader: LogStore | None = None
        self._chance = chance
        self._clock = clock
        self._sync = sync
        self._numbered = 0

    def run(self, files: Files, steps: int) -> None:
        """Run some steps on two stores that share the folder, as two processes do."""
        with contextlib.ExitStack() as stack:
            stores = [stack.enter_context(self._opened(files)) for _ in range(2)]
            self.reader = stack.enter_context(self._opened(files))
            for _ in range(steps):
                self._step(self._chance.choice(stores))
                for store in (*stores, self.reader):
                    self.expected.check_running(readable_state(store))
            self.reader = None

    def look(self) -> None:
        """Read, as another process may at any moment."""
        if self.reader is not None:
            self.expected.seen(state_of(self.reader))

    @contextlib.contextmanager
    def _opened(self, files: Files) -> Iterator[LogStore]:
        settings = tiny_settings(files, self._clock, 1, self._sync)
        # Quiet, so that the same seed does the same; ``_sync_all`` is a step of its own.
        store = quiet(_at_last(lambda: open_log_store(self.folder, settings)))
        try:
            yield store
        finally:
            with contextlib.suppress(Unavailable, DiskFull):
                store.close()

    def _step(self, store: LogStore) -> None:
        steps: list[Callable[[LogStore], None]] = [*[self._commit] * 7, *[self._commit_once] * 3]
        steps += [self._load, self._wait]
        steps += [self._checkpoint, self._compact, self._expire, self._sync_all]
        self._chance.choice(steps)(store)

    def _commit(self, store: LogStore) -> None:
        keys = self._chance.sample(KEYS, self._chance.randint(1, 3))
        self._answer(store, [self._op(key) for key in keys], lambda ops: store.commit(Txn(ops)))

    def _commit_once(self, store: LogStore) -> None:
        """Commit with an idempotency key; sent again, it is answered and not done again."""
        self._numbered += 1
        keys = self._chance.sample(KEYS, self._chance.randint(1, 2))
        txn = numbered([self._op(key) for key in keys], self._numbered)
        if self._answer(store, txn.then, lambda _: store.commit(txn)):
            first = _at_last(lambda: store.commit(txn))
            assert first.is_replay
            assert len(first.results) == len(txn.then)

    def _load(self, store: LogStore) -> None:
        """Load enough rows for a segment of their own, if that is possible now."""
        ops: list[Op] = [Put(key, self._chance.randbytes(20), "text/plain") for key in KEYS[:4]]
        rows: list[Row] = [
            (op.key.encode(), op.value, op.content_type) for op in ops if isinstance(op, Put)
        ]
        if self._answer(store, ops, lambda _: store.load(rows), is_certain=False):
            self.expected.synced()

    def _answer(
        self,
        store: LogStore,
        ops: Sequence[Op],
        commit: Callable[[Sequence[Op]], object],
        *,
        is_certain: bool = True,
    ) -> bool:
        """Commit, and record the outcome; return whether it was acknowledged."""
        self.expected.begin(ops)
        try:
            commit(ops)
        except (Unavailable, DiskFull, OutcomeUnknown) as ex:
            self.refusals += 1
            if is_certain and not isinstance(ex, OutcomeUnknown):
                self.expected.refused()
            else:
                self.expected.unknown()
            return False
        self.expected.answered(readable_state(store))
        return True

    def _op(self, key: str) -> Op:
        match self._chance.choice(["put", "put", "put", "ttl", "delete", "add", "touch"]):
            case "delete":
                return Delete(key)
            case "ttl":
                return Put(key, b"5", "text/plain", self._chance.choice([5.0, 1_000.0]))
            case "add" if all(_is_number(state, key) for state in self.expected.running):
                return Add(key, 7)
            case "touch" if self.expected.is_held(key):
                return Touch(key, self._chance.choice([None, 1_000.0]))
        size = self._chance.choice([0, 3, 700, 5_000])
        value = self._chance.randbytes(size)
        content_type = self._chance.choice(["text/css", "x/rare"])
        return Put(key, value, content_type, metadata=METADATA.get(size, NO_METADATA))

    def _wait(self, store: LogStore) -> None:
        self._clock.advance(3)
        store.stats()

    def _checkpoint(self, store: LogStore) -> None:
        work = self._chance.choice([store.maintainer.checkpoint, store.maintainer.merge_all])
        with contextlib.suppress(*FAILURES):
            work()

    def _compact(self, store: LogStore) -> None:
        with contextlib.suppress(*FAILURES):
            store.maintainer.compact(thorough=self._chance.random() < 0.7)

    def _expire(self, store: LogStore) -> None:
        with contextlib.suppress(*FAILURES):
            store.maintainer.expire()

    def _sync_all(self, store: LogStore) -> None:
        with contextlib.suppress(*FAILURES):
            store.sync()
            self.expected.synced()


def _is_number(state: Contents, key: str) -> bool:
    held = state.get(key)
    return held is None or (held.value.isdigit() and len(held.value) < 10)


def readable_state(store: LogStore) -> State:
    """Return the content of a store, although calls may fail while it is read."""
    return _at_last(lambda: state_of(store))


def _at_last(action: Callable[[], _Answer]) -> _Answer:
    """Try again until no call fails."""
    for _ in range(FAILURES_MAX):
        with contextlib.suppress(OSError, Unavailable, DiskFull):
            return action()
    return action()
