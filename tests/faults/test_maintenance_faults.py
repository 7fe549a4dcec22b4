"""Test one failure in each step of sealing, checkpoint, compaction and load, in two processes."""

from __future__ import annotations

import contextlib
import errno
import os
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from rundlet_server.storage.errors import Damaged
from rundlet_server.storage.interface import Delete, Op, Put, Txn
from rundlet_server.storage.log.format.commit_page import WORD_PUBLISHED
from rundlet_server.storage.log.store import LogStore
from rundlet_server.storage.opening import open_log_store
from tests.support.campaign import Campaign
from tests.support.disks.aftermath import Aftermath
from tests.support.disks.faulty_files import Call, FaultyFiles
from tests.support.disks.sample_stores import folder_in_memory, state_of
from tests.support.disks.simulated_disk import MODES, SimulatedDisk
from tests.support.disks.unsynced_files import UnsyncedFiles
from tests.support.models.model import Clock
from tests.support.models.workload import FAILURES, KEYS, Expectation, tiny_settings

Work = Callable[[LogStore], object]

WORK: dict[str, Work] = {
    "seal": lambda store: store._writer.seal(),
    "checkpoint": lambda store: store.maintainer.checkpoint(),
    "merge": lambda store: (store.maintainer.checkpoint(), store.maintainer.merge_all()),
    "compact": lambda store: store.maintainer.compact(thorough=True),
    "expire": lambda store: store.maintainer.expire(),
    "erase": lambda store: (
        store.erase(KEYS[2]),
        store._parts.eraser.join(),  # what failed there is done by the next
        store.maintainer.remove_erased(),
    ),
    "load": lambda store: store.load([(key.encode(), b"new", "text/plain") for key in KEYS[:4]]),
}


class Failing:
    """Fails one call of those that come while it is armed."""

    def __init__(self, place: int) -> None:
        self._place = place
        self._count = 0
        self.is_armed = False
        self.has_failed = False

    def __call__(self, _: int, call: Call) -> OSError | None:
        self._count += self.is_armed
        if not self.is_armed or self._count != self._place:
            return None
        self.has_failed = True
        return OSError(errno.EIO, "bad sector", call.file)


class Pair:
    """Two stores on one folder, as in two processes, and what must be there."""

    def __init__(self, folder: Path, failing: Failing) -> None:
        self.clock = Clock()
        self.disk = SimulatedDisk(folder / "live")
        self.expected = Expectation(self.clock, "always")
        settings = tiny_settings(FaultyFiles(failing, self.disk), self.clock, 1, "always")
        self.stores = [open_log_store(folder / "live", settings) for _ in range(2)]
        self._failing = failing

    def commit(self, store: LogStore, *ops: Op) -> None:
        self.expected.begin(ops)
        store.commit(Txn(ops))
        self.expected.answered(state_of(store))

    def fill(self) -> None:
        """Sealed segments with index files, some of which can be merged, and an active one."""
        for number in range(30):
            key = f"fill/{number}" if number < 20 else KEYS[number % 4]
            self.commit(self.stores[number % 2], Put(key, b"%d" % number))
            if number in (20, 25):
                self.stores[0].maintainer.checkpoint()
        self.commit(self.stores[0], Delete("a"), Put("b", b"expires", ttl_s=5.0))
        self.clock.advance(10)

    def work(self, work: Work, ops: list[Op]) -> None:
        """Something that may fail, on the first store."""
        self.expected.begin(ops)
        self._failing.is_armed = True
        try:
            work(self.stores[0])
        except FAILURES:
            self.expected.unknown()
        else:
            self._failing.is_armed = False
            self.expected.answered(state_of(self.stores[1]))
        finally:
            self._failing.is_armed = False

    def go_on(self) -> None:
        """Both find the same, and go on."""
        for number, store in enumerate(reversed(self.stores)):
            self.expected.check_running(state_of(store))
            self.commit(store, Put("c/1", b"behind %d" % number))
            for other in self.stores:
                self.expected.check_running(state_of(other))

    def close(self) -> None:
        for store in self.stores:
            store.close()


def fail_some_call(campaign: Campaign, chance: random.Random, name: str, *, step: int) -> None:
    """Every ``step``-th call of some work fails, in a store of its own; both processes go on."""
    ops: list[Op] = []
    if name == "load":
        ops = [Put(key, b"new", "text/plain") for key in KEYS[:4]]
    elif name == "erase":
        ops = [Delete(KEYS[2])]
    failed = 0
    for place in range(chance.randint(1, step), 1_000, step):
        with folder_in_memory() as folder:
            failing = Failing(place)
            pair = Pair(folder, failing)
            pair.fill()
            pair.work(WORK[name], ops)
            pair.go_on()
            aftermath = Aftermath(campaign, chance, folder, pair.clock)
            aftermath.kill(pair.disk, pair.expected)
            aftermath.cut(pair.disk, chance.choice(MODES), pair.expected)
            pair.close()
        if not failing.has_failed:
            break
        failed += 1
    campaign.count("failed calls", failed)
    assert 2 < failed < 400


@pytest.mark.parametrize("name", WORK)
def test_some_work_may_fail_and_every_process_goes_on(campaign: Campaign, name: str):
    for chance in campaign.rounds(1):
        fail_some_call(campaign, chance, name, step=4)


@pytest.mark.soak
@pytest.mark.parametrize("name", WORK)
def test_some_work_may_fail_and_every_process_goes_on_for_long(campaign: Campaign, name: str):
    for chance in campaign.rounds():
        fail_some_call(campaign, chance, name, step=1)


def test_a_log_that_is_cut_short_under_a_running_store_takes_no_more_writes(tmp_path: Path):
    settings = tiny_settings(UnsyncedFiles(), Clock(), 1, "always")
    with contextlib.closing(open_log_store(tmp_path / "data", settings)) as store:
        store.commit(Txn([Put("a", b"1")]))
        os.truncate(tmp_path / "data" / "0000000001.log", 100)

        with pytest.raises(Damaged, match="shorter than"):
            store.commit(Txn([Put("a", b"2")]))


def test_opening_publishes_the_start_of_a_segment_that_a_dead_writer_has_begun(tmp_path: Path):
    """Else every read would look for news that are none."""
    settings = tiny_settings(UnsyncedFiles(), Clock(), 1, "always")
    with contextlib.closing(open_log_store(tmp_path / "data", settings)) as store:
        store.commit(Txn([Put("a", b"1")]))
        before = store._parts.commit_page.published
        assert before is not None
        store._writer.seal()
        store._parts.commit_page.published = before
    with contextlib.closing(open_log_store(tmp_path / "data", settings)) as store:
        view = store._follower.view

        assert store._parts.commit_page.words[WORD_PUBLISHED] == view.position > before
        assert state_of(store) == {"a": (b"1", 1, "application/octet-stream")}
