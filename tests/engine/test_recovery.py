"""Test opening after a crash: acknowledged commits are there; others are whole or absent."""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from rundlet_server.storage.care import repair, verify
from rundlet_server.storage.errors import Damaged, DiskFull, OutcomeUnknown, StoreError, Unavailable
from rundlet_server.storage.interface import Delete, Put, Txn
from rundlet_server.storage.log.format import frame as frames
from rundlet_server.storage.log.format.segment import HEADER_SIZE
from rundlet_server.storage.log.store import LogStore
from rundlet_server.storage.opening import open_log_store
from rundlet_server.storage.settings import StoreSettings
from tests.support import PATIENCE_S, ROOT
from tests.support.disks.faulty_files import Call, FaultyFiles, dying_at, failing_at
from tests.support.disks.sample_stores import Sample, fill, folder_in_memory, state_of
from tests.support.models.model import Clock


@pytest.fixture
def folder() -> Iterator[Path]:
    with folder_in_memory() as folder:
        yield folder


@pytest.fixture
def sample(folder: Path) -> Sample:
    sample = Sample(folder / "data")
    fill(sample)
    return sample


def frame_ends(log: bytes) -> list[int]:
    """Where each frame of a whole segment ends."""
    ends = [HEADER_SIZE]
    while ends[-1] < len(log):
        ends.append(ends[-1] + frames.HEADER.unpack_from(log, ends[-1])[0])
    return ends


def test_every_kind_of_record_survives_a_restart(sample):
    assert sample.reopened() == sample.last
    with sample.opened(sample.after_restart()) as store:
        assert state_of(store) == sample.last


def test_a_log_cut_at_any_byte_holds_the_commits_before_the_cut(sample):
    log = sample.active.read_bytes()
    ends = frame_ends(log)
    assert len(ends) == 10

    for size in range(HEADER_SIZE, len(log)):
        (sample.folder / "COMMIT").unlink()
        sample.active.write_bytes(log[:size])
        revision = sum(end <= size for end in ends) - 1
        assert sample.reopened() == sample.at(revision), f"cut at {size}"
        # The next opening would truncate it, too.
        assert sample.active.stat().st_size == ends[revision], f"torn tail left, cut at {size}"
        assert sample.reopened() == sample.at(revision), f"opened again, cut at {size}"
        assert sample.active.stat().st_size == ends[revision]


def test_a_torn_tail_is_cut_off_and_written_over(sample):
    (sample.folder / "COMMIT").unlink()
    with sample.active.open("ab") as file:
        file.write(b"torn" * 50)

    with sample.opened() as store:
        store.commit(Txn([Put("new", b"1")]))

    assert sample.reopened().keys() == sample.last.keys() | {"new"}
    assert verify(sample.folder, sample.settings).problems == []


def test_a_log_cut_below_the_durable_point_is_refused(sample):
    log = sample.active.read_bytes()
    last = frame_ends(log)[-2]

    for size in (HEADER_SIZE, last - 1, last, len(log) - 1):
        sample.active.write_bytes(log[:size])
        for settings in (sample.settings, sample.after_restart()):
            with pytest.raises(Damaged) as caught, sample.opened(settings):
                pass
            assert caught.value.path == sample.active
            assert caught.value.offset <= size
        assert sample.active.read_bytes() == log[:size], "a refusal changes nothing"


def test_a_missing_log_is_refused_and_named(sample):
    sample.active.unlink()

    with (
        pytest.raises(Damaged, match=r"0000000001\.log.*missing"),
        sample.opened(sample.after_restart()),
    ):
        pass


def test_a_restart_of_the_machine_keeps_whole_frames_that_were_never_published(sample):
    """The page may be older than the log: the kernel writes it back when it likes."""
    page = (sample.folder / "COMMIT").read_bytes()
    with sample.opened() as store:
        sample.commit(store, Put("later", b"1"))
    (sample.folder / "COMMIT").write_bytes(page)

    with sample.opened(sample.after_restart()) as store:
        assert state_of(store) == sample.last


def test_what_a_dead_writer_left_behind_the_published_end_is_cut_by_the_next_writer(sample):
    with sample.opened() as other:
        page = (sample.folder / "COMMIT").read_bytes()
        with sample.opened() as dying:
            dying.commit(Txn([Put("unanswered1", b"1")]))
        log = sample.active.read_bytes()
        (sample.folder / "COMMIT").write_bytes(page)
        for left in (log, log[:-1]):
            sample.active.write_bytes(left)
            sample.commit(other, Delete("missing"))  # writes nothing
            assert sample.active.stat().st_size < len(left)
        sample.commit(other, Put("as_long_as_", b"1"))
    assert "unanswered1" not in sample.last
    assert sample.reopened() == sample.last
    with sample.opened(sample.after_restart()) as store:
        assert state_of(store) == sample.last, "a whole frame stood right behind"


def test_what_a_dead_writer_left_unfinished_is_cut_by_the_next_opening(sample):
    log = sample.active.read_bytes()
    sample.active.write_bytes(log + log[-80:])

    assert sample.reopened() == sample.last
    assert sample.active.read_bytes() == log


@pytest.mark.parametrize("commits", [1, 2, 5, 40])
@pytest.mark.parametrize("sync", ["always", "never"])
def test_an_older_commit_page_put_back_loses_no_commit(folder, commits, sync):
    """Within one boot, where a page is trusted; with 40 commits the log has rolled since."""
    sample = Sample(
        folder / "data",
        StoreSettings(sync=sync, segment_records_max=30, keep_for_s=0, keep_versions=1),
    )
    with sample.opened() as store:
        for number in range(3):
            sample.commit(store, Put(f"before{number}", b"1"))
    page = (sample.folder / "COMMIT").read_bytes()
    with sample.opened() as store:
        for number in range(commits):
            sample.commit(store, Put(f"after{number}", b"1"))
    (sample.folder / "COMMIT").write_bytes(page)

    assert sample.reopened() == sample.last
    with sample.opened() as store:
        sample.commit(store, Put("new", b"1"))
    assert sample.reopened() == sample.last
    assert verify(sample.folder, sample.settings).problems == []


def test_an_older_commit_page_put_back_under_a_running_process_loses_no_commit(sample):
    with sample.opened() as behind:
        page = (sample.folder / "COMMIT").read_bytes()
        with sample.opened() as ahead:
            for number in range(3):
                sample.commit(ahead, Put(f"after{number}", b"1"))
        (sample.folder / "COMMIT").write_bytes(page)

        sample.commit(behind, Put("new", b"1"))
        assert state_of(behind) == sample.last
    assert {"after0", "after2", "new"} <= sample.last.keys()
    assert sample.reopened() == sample.last


def test_a_commit_page_older_than_damage_is_not_trusted(sample):
    """The page ends before the damage, so only the frames behind can tell of it."""
    page = (sample.folder / "COMMIT").read_bytes()
    end = sample.active.stat().st_size
    with sample.opened() as store:
        for number in range(4):
            sample.commit(store, Put(f"after{number}", b"1"))
    (sample.folder / "COMMIT").write_bytes(page)
    with sample.active.open("r+b") as file:
        file.seek(end + 60)
        file.write(b"XX")

    with pytest.raises(Damaged) as caught, sample.opened():
        pass
    assert (caught.value.path, caught.value.offset) == (sample.active, end)


def test_verify_and_repair_notice_an_older_commit_page(sample):
    page = (sample.folder / "COMMIT").read_bytes()
    with sample.opened() as store:
        for number in range(4):
            sample.commit(store, Put(f"after{number}", b"1"))
    (sample.folder / "COMMIT").write_bytes(page)

    (problem,) = verify(sample.folder, sample.settings).problems
    assert problem.path == sample.folder / "COMMIT"
    assert "older than the log" in problem.reason
    report = repair(sample.folder, sample.settings)
    assert (report.losses, report.lost_versions) == ([], [])
    assert sample.reopened() == sample.last


@pytest.mark.parametrize(
    "write",
    [
        lambda store: store.commit(Txn([Put("a", b"3")])),
        lambda store: store.commit(Txn([Delete("a")])),
        lambda store: store.load([(b"%d" % number, b"3", "text/plain") for number in range(8)]),
    ],
    ids=["plain put", "deletion", "load"],
)
def test_commits_that_were_seen_and_lost_leave_a_gap_in_the_revisions(folder, write):
    sample = Sample(folder / "data", StoreSettings(sync="never", segment_records_max=8))
    with sample.opened() as store:
        sample.commit(store, Put("a", b"1"))
        whole = sample.active.stat().st_size
        lost = sample.commit(store, Put("a", b"2"))
    os.truncate(sample.active, whole)

    with sample.opened(sample.after_restart()) as store:
        assert state_of(store) == sample.at(1)
        write(store)
        written = store.changes(1).events
        assert min(event.revision for event in written) > lost


# --- every call fails once ------------------------------------------------------------------


def small(files: FaultyFiles, clock: Clock) -> StoreSettings:
    return StoreSettings(
        files=files,
        clock=clock,
        segment_records_max=3,
        keep_for_s=0,
        keep_versions=1,
        sync_interval_s=60,
    )


class Scenario:
    """Commits, rolls, checkpoints and a compaction; knows what must be there, and what may."""

    def __init__(self, folder: Path, files: FaultyFiles, *, is_watched: bool = True) -> None:
        self.folder = folder
        self.settings = small(files, Clock())
        self.held: dict[str, bytes] = {}
        self.maybe: list[tuple[str, bytes | None]] = []
        self._is_watched = is_watched

    def run(self) -> None:
        """All of it, going on after whatever fails."""
        store = self._opened()
        if store is None:
            return
        for number in range(8):
            self._put(store, f"k{number % 3}", b"%d" % number)
        self._delete(store, "k1")
        for work in (store.maintainer.checkpoint, self._compact(store)):
            with contextlib.suppress(OSError, StoreError):
                work()
            self._check(store)
        self._put(store, "last", b"1")
        store.close()

    def states(self) -> list[dict[str, bytes]]:
        """Everything that may be there: unknown outcomes are there or not, each whole."""
        states = [self.held]
        for key, value in self.maybe:
            also = [{**state, key: value or b""} for state in states]
            if value is None:
                also = [{k: v for k, v in state.items() if k != key} for state in states]
            states += also
        return states

    def _opened(self) -> LogStore | None:
        try:
            return open_log_store(self.folder, self.settings)
        except (OSError, StoreError):
            return None

    def _compact(self, store: LogStore):
        return lambda: store.maintainer.compact(thorough=True)

    def _put(self, store: LogStore, key: str, value: bytes) -> None:
        try:
            store.commit(Txn([Put(key, value)]))
        except (Unavailable, DiskFull):
            pass
        except (OutcomeUnknown, OSError):
            self.maybe.append((key, value))
        else:
            self.held[key] = value
            self.maybe = [one for one in self.maybe if one[0] != key]
        self._check(store)

    def _delete(self, store: LogStore, key: str) -> None:
        try:
            store.commit(Txn([Delete(key)]))
        except (Unavailable, DiskFull):
            pass
        except (OutcomeUnknown, OSError):
            self.maybe.append((key, None))
        else:
            self.held.pop(key, None)
            self.maybe = [one for one in self.maybe if one[0] != key]
        self._check(store)

    def _check(self, store: LogStore) -> None:
        """Reads go on; one of them may be the call that fails."""
        if not self._is_watched:
            return
        try:
            found = values_of(store)
        except OSError:
            found = values_of(store)
        assert found in self.states()


def values_of(store: LogStore) -> dict[str, bytes]:
    return {key: value for key, (value, _, _) in state_of(store).items()}


def call_count(folder: Path) -> int:
    files = FaultyFiles()
    scenario = Scenario(folder / "counted", files)
    scenario.run()
    assert values_of_folder(scenario) == scenario.held == {"k0": b"6", "k2": b"5", "last": b"1"}
    return len(files.calls)


def values_of_folder(scenario: Scenario) -> dict[str, bytes]:
    """What a process sees that opens the folder afterwards, with a disk that works."""
    store = open_log_store(scenario.folder, small(FaultyFiles(), Clock()))
    try:
        return values_of(store)
    finally:
        store.close()


@pytest.mark.parametrize("code", [errno.EIO, errno.ENOSPC])
def test_any_one_call_may_fail_and_nothing_acknowledged_is_lost(folder, code):
    for number in range(1, call_count(folder) + 1):
        files = failing_at(number, code)
        scenario = Scenario(folder / str(number), files)
        scenario.run()
        context = f"call {number}: {files.failed}"
        found = values_of_folder(scenario)
        assert found in scenario.states(), context
        assert verify(scenario.folder).problems == [], context
        assert not is_synced_again(files), context
        shutil.rmtree(scenario.folder)


def is_synced_again(files: FaultyFiles) -> bool:
    """Whether a file whose sync failed is synced later (a new one of the same name may be)."""
    if not files.failed:
        return False  # the background made fewer calls than when they were counted
    [call] = files.failed
    behind = [call for call, _ in itertools.dropwhile(lambda each: not each[1], files.outcomes())]
    anew = Call("unlink", call.file)
    end = behind.index(anew) if anew in behind else len(behind)
    return call.name == "sync" and call in behind[1:end]


def test_a_process_may_die_at_any_call_and_nothing_acknowledged_is_lost(folder):
    for number in range(1, call_count(folder) + 1):
        scenario = Scenario(folder / str(number), dying_at(number), is_watched=False)
        scenario.run()
        scenario.folder.mkdir(exist_ok=True)  # the first call makes it
        copy = folder / f"{number}-without-manifest"
        shutil.copytree(scenario.folder, copy)
        found = values_of_folder(scenario)
        assert found in scenario.states(), f"died at call {number}"
        assert verify(scenario.folder).problems == [], f"died at call {number}"
        check_orphans(scenario)
        check_repair_without_manifest(copy, scenario.states())
        shutil.rmtree(scenario.folder)


def check_orphans(scenario: Scenario) -> None:
    """A compaction removes all that the crash left."""
    store = open_log_store(scenario.folder, small(FaultyFiles(), Clock()))
    store.maintainer.compact(thorough=True)
    manifest = store._follower.refresh().manifest
    store.close()
    files = {path.name for path in scenario.folder.iterdir() if path.suffix in (".log", ".idx")}
    assert len(files) == len(manifest.segments) + len(manifest.indexes)


def check_repair_without_manifest(folder: Path, states: list[dict[str, bytes]]) -> None:
    """Inputs and outputs of a compaction lie side by side: no deleted key comes back."""
    (folder / "MANIFEST").unlink(missing_ok=True)
    settings = small(FaultyFiles(), Clock())
    try:
        repair(folder, settings)
    except FileNotFoundError:
        assert {} in states, "there is no store when nothing was committed"
        return
    store = open_log_store(folder, settings)
    try:
        assert values_of(store) in states
    finally:
        store.close()
    assert verify(folder).problems == []


def test_a_full_disk_refuses_writes_keeps_answering_and_recovers_by_itself(folder):
    is_full = False

    def failing(count: int, call: Call) -> OSError | None:
        is_refused = is_full and call.name == "pwrite"
        return OSError(errno.ENOSPC, "full") if is_refused else None

    store = open_log_store(folder / "data", small(FaultyFiles(failing), Clock()))
    store.commit(Txn([Put("a", b"1")]))
    is_full = True
    for _ in range(5):
        with pytest.raises(DiskFull):
            store.commit(Txn([Put("b", b"2")]))
        assert values_of(store) == {"a": b"1"}
        assert store.health().reasons != []
    is_full = False
    store.commit(Txn([Put("b", b"3")]))

    assert values_of(store) == {"a": b"1", "b": b"3"}
    assert store.health().reasons == []
    store.close()


def test_after_a_failed_sync_the_log_goes_on_in_another_file(folder):
    sync = Call("sync", "0000000001.log")
    before = 0

    def failing(count: int, call: Call) -> OSError | None:
        is_bad = before and call == sync
        return OSError(errno.EIO, "bad disk") if is_bad else None

    files = FaultyFiles(failing)
    store = open_log_store(folder / "data", small(files, Clock()))
    before = len(files.calls)
    with pytest.raises(Unavailable):
        store.commit(Txn([Put("a", b"1")]))
    store.commit(Txn([Put("a", b"2")]))
    store.close()

    assert files.calls[before:].count(sync) == 1
    assert values_of_folder_at(folder / "data") == {"a": b"2"}


def test_a_repair_tells_refused_commits_from_those_that_took_their_revisions(folder):
    """The end of an abandoned segment is truncated, but that need not reach the disk."""
    path = folder / "data" / "0000000001.log"
    refused: list[bytes] = []

    def failing(count: int, call: Call) -> OSError | None:
        if call == ("sync", path.name) and path.stat().st_size > HEADER_SIZE and not refused:
            refused.append(path.read_bytes())
            return OSError(errno.EIO, "bad disk")
        return None

    settings = small(FaultyFiles(failing), Clock())
    store = open_log_store(folder / "data", settings)
    with pytest.raises(Unavailable):
        store.commit(Txn([Put("refused", b"1")]))
    store.commit(Txn([Put("a", b"2")]))
    store.close()
    path.write_bytes(refused[0])
    (folder / "data" / "MANIFEST").unlink()

    repair(folder / "data", settings)

    assert values_of_folder_at(folder / "data") == {"a": b"2"}


def values_of_folder_at(folder: Path) -> dict[str, bytes]:
    store = open_log_store(folder)
    try:
        return values_of(store)
    finally:
        store.close()


# --- several processes ----------------------------------------------------------------------

_RACER = """
import sys
from collections.abc import Iterator
from pathlib import Path
from rundlet_server.storage.opening import open_log_store
from rundlet_server.storage.interface import Add, Txn
sys.stdin.readline()
store = open_log_store(Path(sys.argv[1]))
for _ in range(20):
    store.commit(Txn([Add("n", 1)]))
store.close()
"""

_HOLDER = """
import sys, time
from pathlib import Path
from rundlet_server.storage.opening import open_log_store
from rundlet_server.storage.interface import Put, Txn
store = open_log_store(Path(sys.argv[1]))
store.commit(Txn([Put("a", b"1")]))
with store._writer.exclusive():
    print("held", flush=True)
    time.sleep(60)
"""

_CROWDED = """
import resource, signal, sys
from pathlib import Path
from rundlet_server.storage.opening import open_log_store
from rundlet_server.storage.errors import Unavailable
from rundlet_server.storage.interface import Put, Txn
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
store = open_log_store(Path(sys.argv[1]))
store.commit(Txn([Put("a", b"1")]))
_, most = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, most))
try:
    store.commit(Txn([Put("b", bytes(500_000))]))
except Unavailable:
    print("refused", flush=True)
resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
store.commit(Txn([Put("c", b"3")]))
store.close()
"""


def started(script: str, folder: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", script, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )


def test_processes_that_race_to_make_a_store_share_one(folder):
    racers = [started(_RACER, folder / "data") for _ in range(6)]
    for racer in racers:
        racer.communicate("go\n", timeout=60)

    assert [racer.returncode for racer in racers] == [0] * 6
    assert values_of_folder_at(folder / "data") == {"n": b"120"}


def test_a_lock_falls_with_the_process_that_held_it(folder):
    with started(_HOLDER, folder / "data") as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        os.kill(holder.pid, signal.SIGKILL)
        holder.wait(PATIENCE_S)

    assert values_of_folder_at(folder / "data") == {"a": b"1"}


def test_an_opening_that_fails_late_releases_the_folder(folder):
    open_log_store(folder / "data").close()

    def failing(_: int, call: Call) -> OSError | None:
        return OSError(errno.EMFILE, "full") if call == Call("open", "MAINTENANCE") else None

    with pytest.raises(OSError, match="full") as caught:
        open_log_store(folder / "data", StoreSettings(files=FaultyFiles(failing)))

    assert caught.value.__traceback__ is not None  # its frames keep every part that was open
    assert repair(folder / "data").problems == []


def test_a_write_that_the_kernel_cuts_short_is_taken_back(folder):
    with started(_CROWDED, folder / "data") as process:
        output, _ = process.communicate(timeout=60)

    assert output == "refused\n"
    assert values_of_folder_at(folder / "data") == {"a": b"1", "c": b"3"}
    assert verify(folder / "data").problems == []


def test_garbage_in_the_lock_files_blocks_nothing(sample):
    for name in ("LOCK", "MAINTENANCE"):
        (sample.folder / name).write_bytes(os.urandom(100))

    assert sample.reopened() == sample.last
    with sample.opened() as store:
        store.maintainer.compact(thorough=True)
        assert state_of(store) == sample.last


def test_what_an_opening_could_not_sync_is_written_again_before_the_next_sync(folder):
    with contextlib.closing(open_log_store(folder, StoreSettings(boot_id=1))) as store:
        store.commit(Txn([Put("a", b"1")]))
    failed: list[Call] = []

    def fail_first_sync(_: int, call: Call) -> OSError | None:
        if call.name != "sync" or not call.file.endswith(".log") or failed:
            return None
        failed.append(call)
        return OSError(errno.EIO, os.strerror(errno.EIO))

    files = FaultyFiles(fail_first_sync)
    settings = StoreSettings(boot_id=2, files=files)
    with pytest.raises(OSError, match="Input/output"):
        open_log_store(folder, settings)
    with contextlib.closing(open_log_store(folder, settings)) as store:
        log = [call.name for call in files.calls if call == Call(call.name, failed[0].file)]
        assert [name for name in log if name in ("sync", "pwrite")] == ["sync", "pwrite", "sync"]
        assert store.get("a").value == b"1"
        store.commit(Txn([Put("b", b"2")]))

        assert store.gauges()["segments"].value == 2
    with contextlib.closing(open_log_store(folder, StoreSettings(boot_id=3))) as store:
        assert sorted(state_of(store)) == ["a", "b"]
