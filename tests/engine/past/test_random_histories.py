"""Compare every revision and moment that can be read with the model, over random histories.

A history has commits, restores, expiries, checkpoints, compactions, bulk seals, changes of the
retention, reopening, other processes' views, and clocks that jump. After each step, all that the
store shows of the past must be what the model remembers, and all that its retention promises must
be there.
"""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from rundlet_server.storage.errors import Compacted, InvalidOperation
from rundlet_server.storage.interface import Add, Delete, Put, Restore, Touch, Txn
from rundlet_server.storage.log.check.verify import verify
from rundlet_server.storage.log.store import LogStore
from rundlet_server.storage.opening import open_log_store
from rundlet_server.storage.settings import StoreSettings
from rundlet_server.storage.timeline import Retention
from tests.support.disks.unsynced_files import UnsyncedFiles
from tests.support.models.model import Clock, ModelStore

KEYS = ["a", "b", "c", "d"]
NUMBER_TYPE = "text/plain; charset=utf-8"


class History:
    """A store and its model, and what the retention has promised so far."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.dice = random.Random(seed)
        self.folder = folder
        self.clock = Clock()
        self.model = ModelStore(self.clock)
        self.keep_versions_least = 10
        self.bound = 0  # a horizon that some pass may have had
        self.store = self.open()
        self.other = self.open()

    def open(self) -> LogStore:
        settings = StoreSettings(
            files=UnsyncedFiles(),
            clock=self.clock,
            maintain_inline=False,
            segment_records_max=self.dice.choice([3, 8, 30]),
        )
        return open_log_store(self.folder, settings)

    def close(self) -> None:
        self.store.close()
        self.other.close()

    # --- steps -----------------------------------------------------------------------------

    def step(self) -> None:
        weights = {
            self.commit: 10,
            self.restore: 4,
            self.pass_time: 4,
            self.checkpoint: 2,
            self.compact: 2,
            self.expire: 1,
            self.retain: 1,
            self.reopen: 1,
        }
        [step] = self.dice.choices(list(weights), list(weights.values()))
        step()
        self.model._now_us()
        self.store.get("a")  # both have seen the same time

    def commit(self) -> None:
        ops = []
        for key in self.dice.sample(KEYS, self.dice.randrange(1, 4)):
            value = b"%d" % self.dice.randrange(1_000)
            ttl_s = self.dice.choice([None, None, 3.0, 40.0])
            put = Put(key, value, NUMBER_TYPE, ttl_s)
            known = [Touch(key, ttl_s), Add(key, 1)] if self.model.get(key) else []
            ops.append(self.dice.choice([put, put, Delete(key), *known]))
        store = self.dice.choice([self.store, self.other])
        assert store.commit(Txn(ops)) == self.model.commit(Txn(ops))

    def restore(self) -> None:
        key = self.dice.choice(KEYS)
        head = self.model.stats().revision
        op = self.dice.choice(
            [
                Restore(key, self.dice.randrange(1, 6), ttl_s=self.dice.choice([None, 9.0])),
                Restore(key, revision=self.dice.randrange(head + 2)),
            ]
        )
        kept = {line.revision for line in self.store.history(key).versions}
        try:
            commit = self.store.commit(Txn([op]))
        except InvalidOperation:
            if self.model_source(op) in kept:
                with pytest.raises(InvalidOperation):
                    self.model.commit(Txn([op]))
            self.model._now_us()
            self.model._log_expiries([key])
            return
        assert self.model_source(op) in kept
        assert commit == self.model.commit(Txn([op]))

    def model_source(self, op: Restore) -> int | None:
        """The revision of the value that the model would restore."""
        try:
            return self.model._source(0, op).revision
        except InvalidOperation:
            return None

    def pass_time(self) -> None:
        self.clock.advance(self.dice.choice([0.5, 1, 5, 30, 600, -20, -2]))

    def checkpoint(self) -> None:
        self.note_promise()
        if self.dice.random() < 0.5:
            self.store._writer.seal()
        self.store.maintainer.checkpoint()

    def compact(self) -> None:
        self.expire()
        self.note_promise()
        self.store.maintainer.compact(thorough=self.dice.random() < 0.8)

    def expire(self) -> None:
        self.store.maintainer.expire()
        self.model._now_us()
        self.model._log_expiries(KEYS)

    def retain(self) -> None:
        chosen = Retention(self.dice.choice([1, 2, 3, 10]), self.dice.choice([0.0, 4.0, 60.0]))
        self.dice.choice([self.store, self.other]).retain(chosen)
        self.model.retain(chosen)

    def reopen(self) -> None:
        self.close()
        self.store, self.other = self.open(), self.open()

    def note_promise(self) -> None:
        """A pass begins: what it may drop is no longer promised."""
        retention = self.model.retention()
        self.keep_versions_least = min(self.keep_versions_least, retention.keep_versions)
        then_us = self.model._now_us() - round(retention.keep_for_s * 1e6)
        behind = [revision for revision, time_us in self.model._commits if time_us <= then_us]
        self.bound = max([self.bound, *behind])

    # --- checks ----------------------------------------------------------------------------

    def check(self) -> None:
        for store in (self.store, self.other):
            store._follower.refresh()  # what a pass has dropped, this process may know later
            self.check_revisions(store)
            self.check_moments(store)
            for key in KEYS:
                self.check_history(store, key)
                self.check_versions(store, key)

    def check_revisions(self, store: LogStore) -> None:
        oldest, head = store.stats().oldest_revision, self.model.stats().revision
        assert store.stats().revision == head
        assert oldest <= self.bound
        assert store.scan(include_values=True) == self.model.scan(include_values=True)
        for at in range(head + 1):
            if at < oldest:
                with pytest.raises(Compacted):
                    store.scan(at=at)
            else:
                expected = self.model.scan(at=at, include_values=True)
                assert store.scan(at=at, include_values=True) == expected
                for key in KEYS:
                    assert store.get(key, at=at) == self.model.get(key, at=at)

    def check_moments(self, store: LogStore) -> None:
        oldest, now_us = store.stats().oldest_revision, self.model._now_us()
        times = {t + delta for _, t in self.model._commits for delta in (-1, 0, 1, 3_500_000)}
        for time_us in sorted(times):
            if time_us > now_us:
                continue
            expected = self.model.moment(time_us)
            if expected.revision < oldest:
                with pytest.raises(Compacted) as refusal:
                    store.moment(time_us)
                assert refusal.value.oldest_time_us > time_us
            else:
                assert store.moment(time_us) == expected
                assert store.scan(at=expected) == self.model.scan(at=expected)

    def check_history(self, store: LogStore, key: str) -> None:
        shown, all_lines = store.history(key).versions, self.model.history(key).versions
        assert shown == all_lines[: len(shown)]
        keep_versions = min(self.keep_versions_least, self.model.retention().keep_versions)
        successor, is_counted = self.bound + 1, True
        for number, line in enumerate(all_lines):
            is_counted &= line.version > 0 and number < keep_versions
            is_promised = successor > self.bound or is_counted
            # Where nothing older is left, no tombstone behind the horizon tells anything.
            if is_promised and (line.version > 0 or line.revision > self.bound):
                assert number < len(shown), line
            successor = line.revision

    def check_versions(self, store: LogStore, key: str) -> None:
        shown = store.history(key).versions
        life = []
        for line in shown:
            if line.version:
                life.append(line)
            elif life:
                break
        for version in range(7):
            expected = [line for line in life if line.version == version]
            try:
                found = store.get_version(key, version)
            except Compacted:
                assert not expected
                continue
            assert (found is not None) == bool(expected)
            if found is not None:
                assert found.revision == expected[0].revision
                assert found == self.model.get_version(key, version)


def lived(folder: Path, seed: int, steps: int) -> None:
    history = History(folder / "data", seed)
    try:
        for _ in range(steps):
            history.step()
            history.check()
    finally:
        history.close()
    assert verify(folder / "data").problems == []


@pytest.mark.parametrize("seed", range(8))
def test_all_that_is_shown_of_the_past_was_so_and_what_is_promised_is_shown(tmp_path, seed):
    lived(tmp_path, seed, 60)


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(1_000, 1_300))
def test_it_is_so_over_many_histories(tmp_path, seed):
    lived(tmp_path, seed, 150)
