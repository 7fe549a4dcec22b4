"""Test what a forked child may do with the store of its parent: nothing, and the parent goes on."""

from __future__ import annotations

import fcntl
import gc
import multiprocessing
import os
import pickle
import shutil
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from rundlet_server.storage.care import repair, verify
from rundlet_server.storage.counting.counters import OperationCounters, SharedCounters
from rundlet_server.storage.counting.rows import is_alive, process_of
from rundlet_server.storage.errors import OpenedBeforeFork, Unavailable
from rundlet_server.storage.forks import listen_for_forks
from rundlet_server.storage.interface import Put, Txn
from rundlet_server.storage.log.store import LogStore
from rundlet_server.storage.textfile.store import open_text_file
from rundlet_server.storage.tokens.file import TokenFile
from tests.support import PATIENCE_S
from tests.support.processes.forks import ForkedChild, in_child
from tests.support.processes.stores import PROCESSES, open_tiny

# From Python 3.12 on; it is what these tests are about.
pytestmark = pytest.mark.filterwarnings(
    "ignore:This process .* is multi-threaded:DeprecationWarning"
)

FORKS = 30
THREADS = 4

USES: dict[str, Callable[[LogStore], object]] = {
    "get": lambda store: store.get("a"),
    "get at": lambda store: store.get("a", at=1),
    "get_many": lambda store: store.get_many(["a"]),
    "commit": lambda store: store.commit(Txn([Put("a", b"2")])),
    "scan": lambda store: store.scan(),
    "count": lambda store: store.count(prefix="a"),
    "count all": lambda store: store.count(),
    "history": lambda store: store.history("a"),
    "changes": lambda store: store.changes(0),
    "wait": lambda store: store.wait(1, 10),
    "stats": lambda store: store.stats(),
    "gauges": lambda store: store.gauges(),
    "compact": lambda store: store.compact(),
    "compact and wait": lambda store: store.compact(wait=True),
    "load": lambda store: store.load([(b"b", b"1", "text/plain")]),
    "load many": lambda store: store.load([(b"b%d" % n, b"1", "text/plain") for n in range(64)]),
    "load nothing": lambda store: store.load([]),
    "finish_load": lambda store: store.finish_load(),
    "sync": lambda store: store.sync(),
    "health": lambda store: store.health(),
    "checkpoint": lambda store: store.maintainer.checkpoint(),
    "expire": lambda store: store.maintainer.expire(),
    "merge_all": lambda store: store.maintainer.merge_all(),
    "remove_orphans": lambda store: store.maintainer.remove_orphans(),
}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[LogStore]:
    with closing(open_tiny(tmp_path / "data")) as store:
        store.commit(Txn([Put("a", b"1")]))
        yield store


@contextmanager
def busy(store: LogStore) -> Iterator[None]:
    """Read, write, list and compact in many threads until the block ends."""
    stopping = threading.Event()
    failures: list[Exception] = []

    def work(number: int) -> None:
        count = 0
        try:
            while not stopping.is_set():
                count += 1
                store.commit(Txn([Put(f"{number}/{count % 50}", b"%d" % count)]))
                entry = store.get(f"{number}/{count % 50}")
                assert entry is not None
                assert entry.value == b"%d" % count
                store.scan(limit=10)
                if count % 20 == 0:
                    store.compact(wait=number == 0)
        except Exception as ex:  # whatever it is, the test fails on it
            failures.append(ex)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stopping.set()
        for thread in threads:
            thread.join()
    assert failures == []


def refuse_everything(store: LogStore) -> None:
    for name, use in USES.items():
        with pytest.raises(OpenedBeforeFork, match="open the store again in this process"):
            pytest.fail(f"{name} gave {use(store)}")


@pytest.mark.parametrize("use", USES.values(), ids=USES)
def test_child_gets_an_error_that_says_what_to_do(store, use):
    def try_it() -> None:
        with pytest.raises(OpenedBeforeFork, match="open the store again in this process"):
            use(store)

    in_child(try_it)

    assert store.get("a").value == b"1"


def test_forks_beside_busy_threads_do_not_hang(store, tmp_path):
    def use_it() -> None:
        refuse_everything(store)
        store.close()
        with closing(open_tiny(tmp_path / "data")) as own:
            own.commit(Txn([Put("child", b"1")]))
            assert own.get("a").value == b"1"

    with busy(store):
        for _ in range(FORKS):
            in_child(use_it)

    assert store.get("child").version == FORKS
    store.close()
    assert verify(tmp_path / "data").problems == []


def test_child_opens_a_store_of_its_own(store, tmp_path):
    def commit() -> None:
        with closing(open_tiny(tmp_path / "data")) as own:
            own.commit(Txn([Put("a", b"2")]))

    in_child(commit)

    assert store.get("a").value == b"2"


def test_child_of_a_child_gets_the_error_too(store):
    in_child(lambda: in_child(lambda: refuse_everything(store)))


def test_parent_goes_on_after_a_child_has_closed_and_collected_the_store(tmp_path):
    stores = [open_tiny(tmp_path / "data")]

    def drop() -> None:
        stores.pop().close()
        gc.collect()

    in_child(drop)

    with closing(stores.pop()) as store:
        store.commit(Txn([Put("a", b"1")]))
        with pytest.raises(Unavailable, match=r"another process has .* open"):
            repair(tmp_path / "data")


def test_fork_in_the_turn_of_a_writer_leaves_it_the_lock(store, tmp_path):
    def leave_the_turn() -> None:
        turn.close()

    with ExitStack() as turn:
        turn.enter_context(store._writer.exclusive())
        in_child(leave_the_turn)

        with (tmp_path / "data/LOCK").open() as lock, pytest.raises(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)


def fork_and_wait(folder: Path, told: Connection) -> None:
    """Fork while this process holds every lock of a folder, and wait to be killed.

    The child reports itself, because it has dealt with its copies of the locks by then.
    """
    store = open_tiny(folder)
    counters = SharedCounters(folder / "counts")
    counters.add("get")

    def report_and_wait() -> None:
        told.send(os.getpid())
        threading.Event().wait()

    with store.maintainer._exclusive(wait=True), store._writer.exclusive():
        ForkedChild(report_and_wait)
        threading.Event().wait()


def test_child_that_lives_on_keeps_no_lock_of_its_killed_parent(tmp_path):
    told, tell = PROCESSES.Pipe(duplex=False)
    process = PROCESSES.Process(target=fork_and_wait, args=(tmp_path, tell))
    process.start()
    assert told.poll(PATIENCE_S)
    child = told.recv()
    try:
        process.kill()
        process.join()

        assert [
            name for name in ("LOCK", "MAINTENANCE", "COMMIT") if not is_free(tmp_path / name)
        ] == []
        alive = {process_of(path).pid: is_alive(path) for path in (tmp_path / "counts").iterdir()}
        assert alive == {process.pid: False, child: True}
    finally:
        os.kill(child, signal.SIGKILL)


def is_free(path: Path) -> bool:
    with path.open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


def test_multiprocessing_that_forks_may_have_a_store_open(store):
    context = multiprocessing.get_context("fork")
    process = context.Process(target=refuse_everything, args=(store,))
    process.start()
    process.join(PATIENCE_S)

    assert process.exitcode == 0


def test_store_is_not_pickled(store):
    with pytest.raises(TypeError, match="send its folder, and open it there"):
        pickle.dumps(store)


def test_text_file_is_read_in_a_child_too(tmp_path):
    path = tmp_path / "words.txt"
    path.write_text("a one\nb two\n")
    with closing(open_text_file(path, any_key=True)) as store:

        def read() -> None:
            assert store.get("a").value == b"one"
            assert [info.key for info in store.scan().keys] == ["a", "b"]
            store.close()

        in_child(read)

        assert store.get("b").value == b"two"


def test_watch_of_tokens_sees_changes_in_a_child_too(tmp_path):
    tokens = TokenFile(tmp_path)
    watch = tokens.watch()

    def add_and_look() -> None:
        tokens.add("child", "read")
        assert len(watch.current().tokens) == 1

    in_child(add_and_look)

    assert len(watch.current().tokens) == 1


def test_counters_go_on_in_a_child_although_their_folder_is_gone(store, tmp_path):
    counters = SharedCounters(tmp_path / "counts")
    counters.add("get")
    shutil.rmtree(tmp_path / "counts")

    def count() -> None:
        counters.add("get", 3)
        assert counters.rows()["get"][0] == 3
        refuse_everything(store)

    in_child(count)


class Troublesome:
    """A listener that fails, and counts itself before."""

    def __init__(self, heard: list[Troublesome]) -> None:
        self._heard = heard

    def after_fork(self) -> None:
        self._heard.append(self)
        raise ValueError("no")


# Python reports the failure as an exception that it ignored.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_listener_that_fails_keeps_no_other_one_from_hearing_of_a_fork(store):
    heard: list[Troublesome] = []
    troublesome = [Troublesome(heard) for _ in range(9)]
    for listener in troublesome:
        listen_for_forks(listener)

    def look() -> None:
        assert len(heard) == len(troublesome)
        refuse_everything(store)

    in_child(look)


def test_counters_begin_again_in_a_child(tmp_path):
    for directory in (None, tmp_path / "counts"):
        counters = OperationCounters(SharedCounters(directory))
        counters.add("get", 5)
        expected = 3 if directory is None else 8

        def count(counters=counters, expected=expected) -> None:
            counters.add("get", 3)
            assert counters.totals()["get"] == expected

        in_child(count)
