"""Waiting for commits: which process wakes which, what a death leaves, and what waiting costs."""

from __future__ import annotations

import contextlib
import errno
import multiprocessing
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest

from rundlet_server.storage.interface import Put, Txn
from rundlet_server.storage.log.store import LogStore
from rundlet_server.storage.log.waiting import waiting as waiting_module
from rundlet_server.storage.log.waiting.fifo import FOLDER_NAME, LOCK_NAME, SUFFIX, WakeupFifo
from rundlet_server.storage.opening import open_log_store
from rundlet_server.storage.settings import StoreSettings
from tests.support import PATIENCE_S
from tests.support.disks.unsynced_files import UnsyncedFiles
from tests.support.processes import waiting
from tests.support.processes.servers import wait_for
from tests.support.processes.stores import PROCESSES, open_tiny

NEVER_S = PATIENCE_S * 10
IDLE_CPU_S_MAX = 0.2
"""In two seconds; a thread that looks 100 times a second needs more than that under load."""


@pytest.fixture
def only_wakeups(monkeypatch: pytest.MonkeyPatch) -> None:
    """No wait of this process ends because the thread looks by itself."""
    monkeypatch.setattr(waiting_module, "_LOOK_EVERY_S", NEVER_S)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[LogStore]:
    with contextlib.closing(open_tiny(tmp_path / "data", is_inline=False)) as store:
        yield store


@contextlib.contextmanager
def running(work: Callable[..., None], folder: Path) -> Iterator[tuple[BaseProcess, Connection]]:
    """Run a function in another process, which is killed in the end."""
    receiver, sender = multiprocessing.Pipe(duplex=False)
    process = PROCESSES.Process(target=work, args=(folder, sender), daemon=True)
    process.start()
    sender.close()
    try:
        yield process, receiver
    finally:
        process.kill()
        process.join()
        receiver.close()


@contextlib.contextmanager
def maintained(folder: Path) -> Iterator[None]:
    """Run a maintenance process."""
    arguments = [sys.executable, "-m", "rundlet_server.storage.log.maintenance", str(folder)]
    process = subprocess.Popen(arguments, stdin=subprocess.PIPE)
    try:
        yield
    finally:
        process.communicate()


def received(connection: Connection) -> int:
    assert connection.poll(PATIENCE_S)
    number: int = waiting.SEEN.unpack(connection.recv_bytes())[0]
    return number


def put(store: LogStore) -> int:
    return store.commit(Txn([Put("a", b"")])).revision


def has_fifo(store: LogStore) -> bool:
    """Whether writers find a FIFO: it gets its name first, and the word says so then."""
    return bool(fifos(store)) and store._parts.commit_page.waiters & 1 == 1


def fifos(store: LogStore) -> list[str]:
    folder = store._parts.lock.place._folder / FOLDER_NAME
    return sorted(path.name for path in folder.glob(f"*{SUFFIX}"))


def waiting_threads() -> list[str]:
    names = [thread.name for thread in threading.enumerate()]
    return [name for name in names if name == waiting_module.THREAD_NAME]


def in_threads(count: int, work: Callable[[], object]) -> list[threading.Thread]:
    threads = [threading.Thread(target=work) for _ in range(count)]
    for thread in threads:
        thread.start()
    return threads


def test_a_commit_wakes_every_process_that_waits(store, tmp_path):
    with contextlib.ExitStack() as stack:
        folder = tmp_path / "data"
        others = [stack.enter_context(running(waiting.follow, folder))[1] for _ in range(3)]
        assert [received(other) for other in others] == [0] * 3
        for number in range(1, 30):
            wait_for(lambda: len(fifos(store)) == 3)
            assert put(store) == number
            assert [received(other) for other in others] == [number] * 3


@pytest.mark.usefixtures("only_wakeups")
def test_commits_of_another_process_wake_this_one(store, tmp_path):
    with running(waiting.write_until_killed, tmp_path / "data") as (_, written):
        head = 0
        for _ in range(100):
            head, before = store.wait(head, NEVER_S), head
            assert head > before
        assert received(written) == 1


@pytest.mark.usefixtures("only_wakeups")
def test_threads_that_wait_for_different_revisions_wake_in_turn(store):
    seen: list[tuple[int, int]] = []

    def wait(since: int) -> None:
        seen.append((since, store.wait(since, NEVER_S)))

    threads = [threading.Thread(target=wait, args=(since,)) for since in (2, 1, 0)]
    for thread in threads:
        thread.start()
    for count in (1, 2, 3):
        put(store)
        wait_for(lambda count=count: len(seen) == count)
    for thread in threads:
        thread.join()

    assert seen == [(0, 1), (1, 2), (2, 3)]


@pytest.mark.usefixtures("only_wakeups")
def test_a_bulk_load_wakes(tmp_path):
    settings = StoreSettings(files=UnsyncedFiles())
    with contextlib.closing(open_log_store(tmp_path / "data", settings)) as store:
        rows = [(b"k%d" % number, b"", "text/plain") for number in range(5_000)]
        found: list[int] = []
        threads = in_threads(1, lambda: found.append(store.wait(0, NEVER_S)))
        wait_for(waiting_threads)
        store.load(rows)
        threads[0].join()

        assert found[0] > 0


@pytest.mark.usefixtures("only_wakeups")
def test_a_logged_expiry_wakes(store):
    store.commit(Txn([Put("a", b"", ttl_s=0.01)]))
    threads = in_threads(1, lambda: store.wait(1, NEVER_S))
    wait_for(store.maintainer.expire)
    threads[0].join(PATIENCE_S)

    assert not threads[0].is_alive()


@pytest.mark.parametrize("is_inline", [True, False])
def test_an_idle_store_logs_an_expiry_for_those_who_wait(tmp_path, is_inline):
    folder = tmp_path / "data"
    with contextlib.ExitStack() as stack:
        store = stack.enter_context(contextlib.closing(open_tiny(folder, is_inline=is_inline)))
        if not is_inline:
            stack.enter_context(maintained(folder))
        expires_us = time.time_ns() // 1_000 + 300_000
        store.commit(Txn([Put("a", b"", ttl_s=0.3)]))
        assert store.wait(1, PATIENCE_S) == 2

        event = store.changes(1).events[0]
        assert (event.kind, event.key) == ("expire", "a")
        assert event.time_us >= expires_us


def test_a_killed_waiter_leaves_nothing(store, tmp_path):
    with running(waiting.follow, tmp_path / "data") as (process, seen):
        received(seen)
        wait_for(lambda: fifos(store))
        put(store)
        received(seen)
        process.kill()
        process.join()
        for _ in range(2):
            put(store)

        assert fifos(store) == []
        assert store._parts.commit_page.waiters & 1 == 0
        assert store._parts.waker._descriptors == {}


def test_a_newcomer_removes_what_killed_waiters_have_left(store, tmp_path):
    with running(waiting.follow, tmp_path / "data") as (process, seen):
        received(seen)
        wait_for(lambda: fifos(store))
        process.kill()
        process.join()
    os.mkfifo(tmp_path / "data/waiters/half-made.new")
    with contextlib.closing(store.waiting.open_fifo()):
        assert len(fifos(store)) == 1
    assert os.listdir(tmp_path / "data/waiters") == [LOCK_NAME]


def test_a_child_does_not_keep_the_fifo_of_its_dead_parent(store, tmp_path):
    with running(waiting.follow_beside_a_child, tmp_path / "data") as (process, told):
        child = told.recv()
        assert len(fifos(store)) == 1
        process.kill()
        process.join()
        put(store)
        try:
            assert fifos(store) == []
        finally:
            os.kill(child, signal.SIGKILL)


def test_a_commit_whose_writer_dies_before_it_wakes_is_seen_all_the_same(store, tmp_path):
    found: list[int] = []
    threads = in_threads(1, lambda: found.append(store.wait(0, NEVER_S)))
    wait_for(lambda: waiting_threads() and fifos(store))
    process = PROCESSES.Process(target=waiting.die_before_waking, args=(tmp_path / "data",))
    process.start()
    process.join()
    threads[0].join(PATIENCE_S)

    assert process.exitcode == -signal.SIGKILL
    assert found == [1]


@pytest.mark.usefixtures("only_wakeups")
def test_a_writer_of_a_former_life_does_not_keep_a_waiter_from_the_next(store, tmp_path):
    """Writers are killed at any place; every commit that was acknowledged wakes."""
    head = 0
    for _ in range(3):
        with running(waiting.write_until_killed, tmp_path / "data") as (process, written):
            head = store.wait(head, NEVER_S)
            received(written)
            process.kill()
            process.join()
        head = store.stats().revision
    threads = in_threads(1, lambda: store.wait(head, NEVER_S))
    wait_for(lambda: waiting_threads() and fifos(store))
    put(store)
    threads[0].join(PATIENCE_S)

    assert not threads[0].is_alive()


@pytest.mark.usefixtures("only_wakeups")
def test_a_store_that_is_only_read_waits_in_the_same_way(store, tmp_path):
    settings = StoreSettings(is_read_only=True)
    with contextlib.closing(open_log_store(tmp_path / "data", settings)) as reader:
        found: list[int] = []
        threads = in_threads(1, lambda: found.append(reader.wait(0, NEVER_S)))
        wait_for(lambda: fifos(store))
        put(store)
        threads[0].join()

        assert found == [1]


@pytest.mark.usefixtures("only_wakeups")
def test_without_fifos_the_thread_looks_by_itself(store, tmp_path):
    (tmp_path / "data/waiters").write_bytes(b"not a folder")
    threads = in_threads(3, lambda: store.wait(0, NEVER_S))
    wait_for(waiting_threads)
    put(store)
    for thread in threads:
        thread.join(PATIENCE_S)

    assert not any(thread.is_alive() for thread in threads)


@pytest.mark.usefixtures("only_wakeups")
def test_a_newcomer_that_never_gets_the_lock_looks_by_itself(store, tmp_path):
    (tmp_path / "data/waiters").mkdir()
    held = UnsyncedFiles().open(tmp_path / "data/waiters" / LOCK_NAME, create=True)
    held.lock()
    threads = in_threads(1, lambda: store.wait(0, NEVER_S))
    wait_for(waiting_threads)
    put(store)
    threads[0].join(PATIENCE_S)
    assert not threads[0].is_alive()
    assert fifos(store) == []
    held.close()


@pytest.mark.parametrize("damage", ["folder", "word"])
def test_a_fifo_that_writers_no_longer_find_is_made_again(store, tmp_path, damage):
    threads = in_threads(1, lambda: store.wait(1, NEVER_S))
    wait_for(lambda: waiting_threads() and has_fifo(store))
    before = fifos(store)
    put(store)
    if damage == "folder":
        for name in before:
            (tmp_path / "data/waiters" / name).unlink()
    else:
        store._parts.commit_page.waiters = 0
    wait_for(lambda: fifos(store) not in ([], before) and store._parts.commit_page.waiters & 1)
    put(store)
    threads[0].join(PATIENCE_S)

    assert not threads[0].is_alive()


def test_a_waiter_that_does_not_read_never_blocks_a_writer(store):
    fifo = store.waiting.open_fifo()
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(fifo.fileno(), bytes(4_096))
    for number in range(1, 4):
        assert put(store) == number
    fifo.clear()
    put(store)

    assert is_readable(fifo.fileno(), PATIENCE_S)
    fifo.close()


@pytest.mark.parametrize("code", [errno.EMFILE, errno.EACCES])
@pytest.mark.parametrize("is_listed", [True, False])
def test_a_fifo_that_cannot_be_opened_keeps_no_other_from_being_woken(
    store, monkeypatch, code, is_listed
):
    known = store.waiting.open_fifo()
    put(store)
    known.clear()
    newcomer = store.waiting.open_fifo()
    works, failing = os.open, [newcomer._path]

    def limited_open(path: Path, *arguments: int) -> int:
        if path in failing:
            raise OSError(code, os.strerror(code))
        return works(path, *arguments)

    def limited_list(_: Path) -> list[str]:
        raise OSError(code, os.strerror(code))

    with monkeypatch.context() as limited:
        limited.setattr(os, "open", limited_open)
        if not is_listed:
            limited.setattr(os, "listdir", limited_list)
        for _ in range(2):
            put(store)
            assert is_readable(known.fileno(), 0)
            known.clear()
    assert not is_readable(newcomer.fileno(), 0)

    put(store)

    assert is_readable(newcomer.fileno(), 0)
    known.close()
    newcomer.close()


def test_writers_find_every_newcomer(store):
    with contextlib.ExitStack() as stack:
        for _ in range(3):
            fifo = stack.enter_context(contextlib.closing(store.waiting.open_fifo()))
            put(store)
            assert is_readable(fifo.fileno(), 0)


def test_a_newcomer_takes_no_other_newcomer_for_dead(store, monkeypatch):
    make = os.mkfifo

    def make_and_let_another_come(path: Path, mode: int) -> None:
        make(path, mode)
        monkeypatch.undo()
        with contextlib.suppress(OSError):  # it may have to come again
            store.waiting.open_fifo().close()

    monkeypatch.setattr(os, "mkfifo", make_and_let_another_come)
    with contextlib.closing(store.waiting.open_fifo()) as fifo:
        put(store)

        assert is_readable(fifo.fileno(), 0)


@pytest.mark.usefixtures("only_wakeups")
def test_a_commit_between_the_look_and_the_sleep_is_not_missed(store):
    waiting, looks = store.waiting, []

    def look() -> int:
        """Commit right behind the second look, before the waiter sleeps."""
        head = store._follower.current().head.revision
        looks.append(head)
        if len(looks) == 2:
            wait_for(lambda: fifos(store))
            put(store)
            wait_for(lambda: waiting._ticks)
        return head

    waiting._head = look
    threads = in_threads(1, lambda: waiting.wait(0, NEVER_S))
    threads[0].join(PATIENCE_S)

    assert not threads[0].is_alive()
    assert looks == [0, 0, 1]


def test_an_event_loop_waits_on_a_descriptor(store):
    fifo = store.waiting.open_fifo()
    assert not is_readable(fifo.fileno(), 0)
    for _ in range(3):
        put(store)
        assert is_readable(fifo.fileno(), PATIENCE_S)
        fifo.clear()
        assert not is_readable(fifo.fileno(), 0)
    fifo.close()
    fifo.close()

    assert fifos(store) == []
    assert store._parts.commit_page.waiters & 1 == 0


def test_a_closed_store_ends_its_waits(tmp_path):
    store = open_tiny(tmp_path / "data")
    threads = in_threads(3, lambda: store.wait(0, NEVER_S))
    wait_for(lambda: waiting_threads() and fifos(store))
    store.close()
    for thread in threads:
        thread.join(PATIENCE_S)

    assert not any(thread.is_alive() for thread in threads)
    assert waiting_threads() == []
    assert fifos(store) == []


def test_closing_writes_to_no_fifo_that_is_closed(tmp_path, monkeypatch):
    """Another file may have the number of its descriptor."""
    rung: list[int] = []
    monkeypatch.setattr(WakeupFifo, "ring", lambda fifo: rung.append(fifo.fileno()))
    monkeypatch.setattr(waiting_module, "_LINGER_S", 0.1)
    monkeypatch.setattr(waiting_module, "_LOOK_EVERY_S", 0.1)
    store = open_tiny(tmp_path / "data")
    store.wait(0, 0.01)
    wait_for(lambda: not waiting_threads())
    store.close()

    assert rung == []


def test_the_thread_ends_some_time_after_the_last_wait(store, monkeypatch):
    monkeypatch.setattr(waiting_module, "_LINGER_S", 0.1)
    monkeypatch.setattr(waiting_module, "_LOOK_EVERY_S", 0.1)
    for _ in range(3):
        store.wait(0, 0.01)
        wait_for(lambda: not waiting_threads() and not fifos(store))

    assert store._parts.commit_page.waiters & 1 == 0


def test_waits_go_on_after_an_unexpected_failure_of_the_thread(store, monkeypatch, caplog):
    works, failures = WakeupFifo.wait, [OSError("a bug")]

    def failing(fifo: WakeupFifo, timeout_s: float) -> None:
        if failures:
            raise failures.pop()
        works(fifo, timeout_s)

    monkeypatch.setattr(WakeupFifo, "wait", failing)
    waits = in_threads(2, lambda: store.wait(0, NEVER_S))
    wait_for(lambda: not failures)

    put(store)

    for thread in waits:
        thread.join(PATIENCE_S)
        assert not thread.is_alive()
    assert "the thread that waits for commits failed unexpectedly" in caplog.text


def test_thousands_of_waits_leave_no_descriptor_and_no_thread(store):
    store.wait(0, 0.001)
    wait_for(lambda: has_fifo(store))
    put(store)  # the writer opens the FIFO
    descriptors, thread_count = len(os.listdir("/proc/self/fd")), threading.active_count()

    def wait() -> None:
        for number in range(500):
            store.wait(1 + number % 2, 0.000_1)
            store.wait(0, NEVER_S)

    for thread in in_threads(6, wait):
        thread.join()

    assert len(os.listdir("/proc/self/fd")) <= descriptors
    assert threading.active_count() <= thread_count


def test_fifty_idle_waits_cost_next_to_nothing(store):
    threads = in_threads(50, lambda: store.wait(0, 3))
    wait_for(lambda: waiting_threads() and fifos(store))
    before = os.times()
    time.sleep(2)
    after = os.times()
    put(store)
    for thread in threads:
        thread.join()

    assert after.user + after.system - before.user - before.system <= IDLE_CPU_S_MAX


def is_readable(descriptor: int, timeout_s: float) -> bool:
    return bool(select.select([descriptor], [], [], timeout_s)[0])
