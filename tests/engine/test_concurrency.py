"""Test threads and processes on one folder, where some die and others read meanwhile."""

from __future__ import annotations

import errno
import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerProcess
from pathlib import Path

import pytest

from rundlet_server.storage.care import verify
from rundlet_server.storage.errors import (
    Compacted,
    Damaged,
    OutcomeUnknown,
    StoreError,
    Unavailable,
)
from rundlet_server.storage.files import RealFile, RealFiles
from rundlet_server.storage.interface import Condition, Delete, Put, Txn
from rundlet_server.storage.log.format.manifest import FILE_NAME
from rundlet_server.storage.log.store import COMPACTION_NAME, LogStore
from rundlet_server.storage.log.write.group_commit import _Request
from rundlet_server.storage.opening import open_log_store
from rundlet_server.storage.settings import StoreSettings
from tests.support.disks.faulty_files import FaultyFiles
from tests.support.models.model import Clock
from tests.support.processes.stores import (
    ACKNOWLEDGED,
    PROCESSES,
    WRITERS,
    count_up,
    halves,
    open_tiny,
    pair_keys,
    watch,
    write_until_killed,
)


class Died(BaseException):
    """The process ended here: nothing behind this line was done."""


class MortalFiles(RealFiles):
    """Files of a process that dies, or whose disk fails, right after a chosen call.

    Attributes:
        cause: raised after the manifest was renamed, before that is known to be durable.
    """

    cause: BaseException | None = None

    def rename(self, source: Path, target: Path) -> None:
        super().rename(source, target)
        if self.cause is not None and target.name == FILE_NAME:
            cause, self.cause = self.cause, None
            raise cause


@pytest.fixture
def open_log(tmp_path: Path) -> Iterator[Callable[..., LogStore]]:
    """Opens the folder of the test once more; all are closed at the end."""
    opened = []

    def open_one(**settings: object) -> LogStore:
        options = {"keep_for_s": 0, "keep_versions": 1, "segment_records_max": 4, **settings}
        store = open_log_store(tmp_path / "data", StoreSettings(**options))
        opened.append(store)
        return store

    yield open_one
    for store in opened:
        store.close()


def put(store: LogStore, key: str, value: bytes = b"v") -> int:
    return store.commit(Txn([Put(key, value)])).revision


def contents(store: LogStore) -> dict[str, bytes]:
    return {
        info.key: info.entry.value for info in store.scan(include_values=True).keys if info.entry
    }


# --- a process dies, or the disk fails, between two steps of a change ----------------------


@pytest.mark.parametrize("cause", [Died(), OSError(errno.EIO, "planted")])
def test_a_roll_cut_off_behind_the_rename_loses_no_later_commit(open_log, cause):
    files = MortalFiles()
    dying, other = open_log(files=files), open_log()
    put(dying, "before")
    assert contents(other) == {"before": b"v"}
    files.cause = cause
    with pytest.raises((Died, StoreError)):
        dying._writer.seal()

    put(other, "other")
    put(dying, "dying")

    expected = {"before": b"v", "other": b"v", "dying": b"v"}
    assert contents(other) == contents(dying) == contents(open_log()) == expected
    other.maintainer.compact(thorough=True)
    assert contents(open_log()) == expected


@pytest.mark.parametrize("cause", [Died(), OSError(errno.EIO, "planted")])
def test_a_checkpoint_cut_off_behind_the_rename_leaves_its_index_file_alone(open_log, cause):
    files = MortalFiles()
    dying, other = open_log(files=files), open_log()
    expected = {f"k{number}": b"v" for number in range(5)}
    for key in expected:
        put(dying, key)
    assert contents(other) == expected
    files.cause = cause
    with pytest.raises((Died, OSError)):
        dying.maintainer.checkpoint()

    other.maintainer.checkpoint()
    put(other, "k5")
    other._writer.seal()
    other.maintainer.checkpoint()
    expected["k5"] = b"v"

    assert contents(other) == contents(dying) == contents(open_log()) == expected


@pytest.mark.parametrize("cause", [Died(), OSError(errno.EIO, "planted")])
def test_a_compaction_cut_off_behind_the_rename_is_taken_over_by_others(open_log, cause):
    files = MortalFiles()
    dying, other = open_log(files=files), open_log()
    for number in range(20):
        put(dying, f"k{number % 5}", b"%d" % number)
    dying.maintainer.checkpoint()
    expected = {f"k{number}": b"%d" % (number + 15) for number in range(5)}
    assert contents(other) == expected
    dying._writer.seal()
    dying.maintainer.checkpoint()
    other.maintainer.checkpoint()
    # The manifest is changed once to reserve numbers, and then to put the outputs in force.
    renames = []
    original = dying.maintainer._compactor._writer.change_manifest

    def second_is_cut_off(change):
        renames.append(change)
        if len(renames) == 2:
            files.cause = cause
        return original(change)

    dying.maintainer._compactor._writer.change_manifest = second_is_cut_off
    with pytest.raises((Died, OSError)):
        dying.maintainer.compact(thorough=True)
    assert len(renames) == 2

    put(other, "k9")
    expected["k9"] = b"v"
    other.maintainer.compact(thorough=True)

    assert contents(other) == contents(open_log()) == expected


# --- what fails in the background -----------------------------------------------------------


class FailingIndexFiles(RealFiles):
    """A disk on which no index file can be written."""

    def open(self, path: Path, *, create: bool = False, writable: bool = True) -> RealFile:
        if create and path.suffix == ".idx":
            raise OSError(errno.ENOSPC, "planted")
        return super().open(path, create=create, writable=writable)


def test_a_commit_is_acknowledged_although_the_checkpoint_after_it_fails(open_log):
    store = open_log(files=FailingIndexFiles())
    expected = {f"k{number:02}": b"v" for number in range(20)}
    for key in expected:
        put(store, key)

    assert contents(store) == contents(open_log()) == expected


def test_closing_waits_for_a_compaction_that_is_under_way(open_log):
    store = open_log()
    for number in range(20):
        put(store, f"k{number % 5}", b"%d" % number)
    for _ in range(3):
        store.compact()
    store.close()

    assert not [thread for thread in threading.enumerate() if thread.name == COMPACTION_NAME]
    again = open_log()
    assert contents(again) == {f"k{number}": b"%d" % (number + 15) for number in range(5)}
    assert store.health().reasons == []


class FailingSyncFiles(RealFiles):
    """A disk that does not sync data any more once it is told so."""

    def __init__(self) -> None:
        self.is_failing = False

    def open(self, path: Path, *, create: bool = False, writable: bool = True) -> RealFile:
        files = self

        class File(RealFile):
            def sync(self) -> None:
                if files.is_failing:
                    raise OSError(errno.EIO, "planted")
                super().sync()

        flags = (os.O_RDWR if writable else os.O_RDONLY) | os.O_CLOEXEC
        return File(os.open(path, flags | (os.O_CREAT if create else 0), 0o600))


def test_a_refusal_decided_against_a_write_of_the_group_that_failed_is_void(open_log):
    files = FailingSyncFiles()
    store = open_log(files=files)
    queued = _Request([Txn([Put("b", b"v")], [Condition("a", exists=False)])])
    queued.wakeup.acquire()
    store._group_commit._queue = [queued]
    files.is_failing = True
    outcomes = store._group_commit._lead([Txn([Put("a", b"v")])])
    files.is_failing = False

    assert len(outcomes) == 1
    for outcome in outcomes + queued.outcomes:
        assert isinstance(outcome, Unavailable | OutcomeUnknown)
    assert not queued.wakeup.locked()
    assert contents(store) == {}
    put(store, "c")
    assert contents(store) == contents(open_log()) == {"c": b"v"}


def test_a_group_grows_while_another_process_has_its_turn(open_log):
    files = FaultyFiles()
    store, other = open_log(files=files), open_log()
    queue = store._group_commit
    put(store, "a")
    files.calls.clear()
    threads = [threading.Thread(target=put, args=(store, key)) for key in "abcdefgh"]
    with other._writer.exclusive():
        for thread in threads:
            thread.start()
        while len(queue._queue) < len(threads) - 1:  # the leader waits for the lock
            time.sleep(0.001)
    for thread in threads:
        thread.join()

    # A thread that looks after the store may read what is published before the writer knows of it.
    assert [call.name for call in files.calls if call.name != "pread"] == ["pwrite", "sync"]
    assert contents(store) == contents(other) == dict.fromkeys("abcdefgh", b"v")


class LocklessFiles(RealFiles):
    """A kernel that gives no lock, or takes none back, once it is told so."""

    def __init__(self) -> None:
        self.is_failing = False
        self.is_unlock_failing = False

    def open(self, path: Path, *, create: bool = False, writable: bool = True) -> RealFile:
        files = self

        class File(RealFile):
            def lock(self, *, wait: bool = True, is_shared: bool = False) -> bool:
                if files.is_failing:
                    raise OSError(errno.ENOLCK, "planted")
                return super().lock(wait=wait, is_shared=is_shared)

            def unlock(self) -> None:
                super().unlock()
                if files.is_unlock_failing:
                    raise OSError(errno.EIO, "planted")

        flags = (os.O_RDWR if writable else os.O_RDONLY) | os.O_CLOEXEC
        return File(os.open(path, flags | (os.O_CREAT if create else 0), 0o600))


def test_a_write_is_not_called_refused_because_the_lock_cannot_be_given_back(open_log):
    files = LocklessFiles()
    store = open_log(files=files)
    files.is_unlock_failing = True
    with pytest.raises(OSError, match="planted"):
        put(store, "a")
    files.is_unlock_failing = False

    assert contents(store) == {"a": b"v"}


def test_a_write_is_refused_that_cannot_take_the_lock(open_log):
    files = LocklessFiles()
    store = open_log(files=files)
    files.is_failing = True
    with pytest.raises(Unavailable):
        put(store, "a")
    files.is_failing = False
    put(store, "b")

    assert contents(store) == {"b": b"v"}


def test_a_whole_queue_is_refused_when_the_log_cannot_be_written(open_log):
    store = open_log()
    queued = _Request([Txn([Put("b", b"v")])])
    queued.wakeup.acquire()
    store._group_commit._queue = [queued]
    store._follower.view.segment(1).file.truncate(10)
    outcomes = store._group_commit._lead([Txn([Put("a", b"v")])])

    assert [type(outcome) for outcome in outcomes + queued.outcomes] == [Damaged, Damaged]
    assert not queued.wakeup.locked()
    assert store._group_commit._queue == []


# --- exact counts while keys expire ----------------------------------------------------------


def test_keys_that_expire_together_are_seen_together(open_log):
    ticking = Clock()

    def clock() -> int:
        ticking.advance(0.1)
        return ticking.now_us

    store = open_log(clock=clock)
    store.commit(Txn([Put(key, b"v", ttl_s=10) for key in "abcdefgh"]))
    counts = []
    while not counts or counts[-1]:
        counts.append(sum(entry is not None for entry in store.get_many("abcdefgh").entries))
        counts.append(len(store.scan(include_values=True).keys))
        counts.append(store.count(start="a"))

    assert set(counts) == {8, 0}


def test_a_value_that_expires_while_it_is_committed_is_not_counted(open_log):
    clock = Clock()
    store, other = open_log(clock=clock), open_log(clock=clock)
    with store._writer.exclusive() as view:
        batch = store._writer.begin(view)
        batch.add(Txn([Put("a", b"v", ttl_s=1)]))
        # A slow disk: meanwhile time goes on and another process logs what has expired.
        clock.advance(2)
        other.maintainer.expire()
        store._writer.write(view, batch.frames)

    assert store.get("a") is None
    assert store.stats().key_count == store.count(prefix="a") == 0
    assert store.maintainer.expire() == 1
    assert store.stats().key_count == 0


def test_an_expiry_that_is_logged_meanwhile_is_not_counted_twice(open_log):
    clock = Clock()
    store, other = open_log(clock=clock), open_log(clock=clock)
    store.commit(Txn([Put("a", b"v", ttl_s=1), Put("b", b"v")]))
    clock.advance(2)
    counts = []

    class ExpiringWords:
        """The page of a store, in which another process logs expiries between two looks."""

        def __init__(self, words):
            self.words, self.looks = words, 0

        def __getitem__(self, word):
            self.looks += 1
            if self.looks == self.when:
                other.maintainer.expire()
            return self.words[word]

        def __setitem__(self, word, value):
            self.words[word] = value

    for when in range(1, 12):
        words = store._parts.commit_page.words
        slow = ExpiringWords(words)
        slow.when = when
        store._parts.commit_page.words = store._follower._words = slow
        counts.append(store.stats().key_count)
        store._parts.commit_page.words = store._follower._words = words
        store.commit(Txn([Put("a", b"v", ttl_s=1)]))
        clock.advance(2)

    assert counts == [1] * 11


def test_time_on_the_page_does_not_go_back_when_a_batch_began_earlier(open_log):
    clock = Clock()
    store = open_log(clock=clock)
    store.commit(Txn([Put("a", b"v", ttl_s=5)]))
    with store._writer.exclusive() as view:
        batch = store._writer.begin(view)
        batch.add(Txn([Put("b", b"v")]))
        clock.advance(10)
        assert store.get("a") is None
        store._writer.write(view, batch.frames)
    clock.advance(-10)

    assert store.get("a") is None


def test_a_commit_that_changes_nothing_reports_a_revision_that_can_be_read(open_log):
    store = open_log(sync="never")
    put(store, "a")
    store.close()
    restarted = open_log(boot_id=1, sync="never")
    commit = restarted.commit(Txn([Delete("missing")]))

    assert commit.revision == restarted.stats().revision
    assert restarted.get("a", at=commit.revision) is not None
    assert put(restarted, "b") > commit.revision + 1_000_000


def test_a_store_whose_making_was_cut_off_is_made_again(tmp_path, open_log):
    class DyingFiles(RealFiles):
        def sync_folder(self, path: Path) -> None:
            raise Died(path)

    with pytest.raises(Died):
        open_log(files=DyingFiles())
    assert [path.suffix for path in (tmp_path / "data").glob("*.log")] == [".log"]

    store = open_log()
    put(store, "a")
    assert contents(open_log()) == {"a": b"v"}


def test_a_commit_that_a_reader_has_replayed_already_is_not_added_again(open_log, monkeypatch):
    store = open_log()
    advance = store._follower.advance

    def advance_late(*arguments, **options):
        assert store.get("a") is not None  # published, so it is read from the log
        advance(*arguments, **options)

    monkeypatch.setattr(store._follower, "advance", advance_late)
    put(store, "a")
    put(store, "a")

    assert [version.revision for version in store.history("a").versions] == [2, 1]
    assert store.gauges()["unindexed_records"].value == 2


# --- many processes ------------------------------------------------------------------------


def test_compare_and_swap_of_16_threads_in_2_processes_loses_no_increment(tmp_path):
    folder = tmp_path / "data"
    processes = [PROCESSES.Process(target=count_up, args=(folder, 8, 15)) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
        assert process.exitcode == 0

    store = open_tiny(folder)
    assert store.get("counter").value == store.get("added").value == b"240"
    assert store.get("counter").version == 240
    store.close()
    assert verify(folder).problems == []


class Writers:
    """Writers that are killed and replaced, and what was acknowledged to each."""

    def __init__(self, folder: Path, chosen: random.Random) -> None:
        self.folder = folder
        self.chosen = chosen
        self.acknowledged = [0] * WRITERS
        self._running: dict[int, tuple[ForkServerProcess, Connection]] = {}
        for number in range(WRITERS):
            self.start(number)

    def start(self, number: int) -> None:
        ours, theirs = PROCESSES.Pipe(duplex=False)
        seed = self.chosen.randrange(1 << 32)
        arguments = (self.folder, number, seed, theirs)
        process = PROCESSES.Process(target=write_until_killed, args=arguments)
        process.start()
        theirs.close()
        self._running[number] = process, ours

    def drain(self) -> None:
        """Take note of what was answered, or the pipes would fill up."""
        for number, (_, pipe) in self._running.items():
            while pipe.poll(0):
                try:
                    self.acknowledged[number] = ACKNOWLEDGED.unpack(pipe.recv_bytes())[0]
                except EOFError:
                    break

    def kill(self, number: int) -> None:
        process, pipe = self._running[number]
        assert process.exitcode is None, "a writer ended by itself"
        process.kill()
        process.join()
        self.drain()
        pipe.close()
        del self._running[number]
        process.close()

    def kill_all(self) -> None:
        for number in list(self._running):
            self.kill(number)


@pytest.mark.parametrize("seed", [1, 2])
def test_kill_9_of_writers_and_maintenance_loses_nothing_and_halves_nothing(tmp_path, seed):
    """30 kills a seed, at random moments, while others write, read, checkpoint and compact."""
    folder = tmp_path / "data"
    chosen = random.Random(seed)
    follower = open_tiny(folder, is_inline=False)
    writers = Writers(folder, chosen)
    alive, watcher_alive = PROCESSES.Pipe(duplex=False)
    found, problems = PROCESSES.Pipe(duplex=False)
    watcher = PROCESSES.Process(target=watch, args=(folder, alive, problems))
    watcher.start()
    maintenance = start_maintenance(folder)
    try:
        for kill in range(30):
            victim = chosen.randrange(WRITERS)
            # Most of them are killed at work, the others perhaps while they open the store.
            wanted = writers.acknowledged[victim] + (1 if chosen.random() < 0.7 else 0)
            deadline = time.monotonic() + chosen.uniform(0, 0.1)
            while time.monotonic() < deadline or writers.acknowledged[victim] < wanted:
                writers.drain()
                assert halves(follower) == []
            writers.kill(victim)
            if kill % 7 == 3:
                maintenance.kill()
                maintenance.communicate()
                maintenance = start_maintenance(folder)
            for store in (follower, fresh) if (fresh := maybe_open(folder, kill)) else (follower,):
                left, right = (store.get(key) for key in pair_keys(victim))
                written = int(left.value) if left else 0
                assert (left and left.value) == (right and right.value)
                assert written - writers.acknowledged[victim] in (0, 1), f"kill {kill}"
            if fresh:
                fresh.close()
            writers.acknowledged[victim] = written
            writers.start(victim)
    finally:
        writers.kill_all()
        watcher_alive.close()
        maintenance.kill()
        maintenance.communicate()
    reports = []
    while not reports or not isinstance(reports[-1], int):
        reports.append(found.recv())
    watcher.join(30)
    follower.close()

    assert reports[:-1] == []
    assert reports[-1] > 0
    store = open_tiny(folder)
    assert halves(store) == []
    totals = [int(entry.value) for entry in store.get_many(["total"]).entries if entry]
    assert sum(totals) >= 20
    for _ in range(2):
        store.maintainer.compact(thorough=True)
        assert halves(store) == []
    store.close()
    assert verify(folder).problems == []


def maybe_open(folder: Path, kill: int) -> LogStore | None:
    return open_tiny(folder, is_inline=False) if kill % 4 == 0 else None


def start_maintenance(folder: Path) -> subprocess.Popen[bytes]:
    module = "rundlet_server.storage.log.maintenance"
    command = [
        sys.executable,
        "-m",
        module,
        str(folder),
        "--settings",
        "{}",
    ]
    return subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )


def test_a_snapshot_stays_the_same_while_all_of_it_is_rewritten(tmp_path):
    """For as long as it is kept; and then it is refused, not wrong."""
    clock = Clock()
    started_us = clock.now_us
    store = open_tiny(tmp_path, keep_for_s=60, clock=clock)
    for number in range(40):
        put(store, f"k{number:02}", b"first")
    revision = store.stats().revision
    expected = store.scan(include_values=True, at=revision)
    is_over = threading.Event()
    failures: list[BaseException] = []

    def rewrite(thread: int) -> None:
        chosen = random.Random(thread)
        try:
            while not is_over.is_set():
                key = f"k{chosen.randrange(40):02}"
                store.commit(Txn([Delete(key) if chosen.random() < 0.3 else Put(key, b"later")]))
        except BaseException as ex:
            failures.append(ex)

    def maintain() -> None:
        try:
            while not is_over.is_set():
                store.maintainer.compact(thorough=True)
        except BaseException as ex:
            failures.append(ex)

    threads = [threading.Thread(target=rewrite, args=(number,)) for number in range(3)]
    threads.append(threading.Thread(target=maintain))
    other = open_tiny(tmp_path, is_inline=False, keep_for_s=60, clock=clock)
    for thread in threads:
        thread.start()
    looks = 0
    until_s = time.monotonic() + 1.5
    try:
        while True:
            for reader in (store, other):
                assert reader.scan(include_values=True, at=revision) == expected
                assert reader.count(at=revision, start="k") == 40
            looks += 1
            if looks > 3 and time.monotonic() > until_s:
                clock.advance(10)
    except Compacted as ex:
        oldest = ex.oldest_revision
    finally:
        is_over.set()
        for thread in threads:
            thread.join()
        other.close()
        store.close()

    assert failures == []
    assert looks > 3
    assert clock.now_us - started_us >= 60_000_000
    assert oldest > revision
