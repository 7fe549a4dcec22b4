"""Test that a store can be read where nothing can be written."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import fcntl
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from rundlet_server.storage.errors import Damaged, ReadOnly
from rundlet_server.storage.files import RealFile, RealFiles
from rundlet_server.storage.interface import Put, Txn
from rundlet_server.storage.log.store import LogStore
from rundlet_server.storage.opening import open_log_store
from rundlet_server.storage.settings import StoreSettings
from rundlet_server.storage.tokens.file import TokenFile
from tests.support import PATIENCE_S
from tests.support.disks.small_disk import mounted
from tests.support.processes.command_line import run
from tests.support.processes.servers import RundletServer, wait_for

MIB = 1024 * 1024


class FrozenFiles(RealFiles):
    """The files of a read-only mount, also for a user who cannot mount."""

    def open(self, path: Path, *, create: bool = False, writable: bool = True) -> RealFile:
        if create or writable:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))
        return super().open(path, writable=False)


READ_ONLY = StoreSettings(is_read_only=True)
FROZEN = StoreSettings(is_read_only=True, files=FrozenFiles())
AFTER_RESTART = dataclasses.replace(FROZEN, boot_id=FROZEN.boot_id ^ 1)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def filled(folder: Path) -> None:
    """Make a store with a few full segments, and one that is not."""
    store = open_log_store(folder, StoreSettings(segment_records_max=4))
    for number in range(10):
        store.commit(Txn([Put(f"k{number}", b"%d" % number)]))
    store.close()


@contextlib.contextmanager
def frozen(folder: Path) -> Iterator[Path]:
    """Mount a folder once more, read-only, and yield where."""
    place = folder.with_name("snapshot")
    place.mkdir()
    for options in (["--bind", str(folder)], ["-o", "remount,ro,bind"]):
        done = subprocess.run(["mount", *options, str(place)], capture_output=True, check=False)
        if os.getuid() or done.returncode:
            pytest.skip("this user cannot mount")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


def fill(path: Path) -> None:
    """Write a file until the disk is full."""
    with contextlib.suppress(OSError), path.open("wb", buffering=0) as file:
        while file.write(bytes(4096)):
            pass


def keys(store: LogStore) -> dict[str, bytes]:
    page = store.scan(include_values=True)
    return {info.key: info.entry.value for info in page.keys if info.entry}


@pytest.mark.parametrize("missing", [(), ("COMMIT",), ("COMMIT", "LOCK", "MAINTENANCE")])
def test_mounted_snapshot_is_read_and_not_changed(tmp_path, missing):
    filled(tmp_path / "data")
    for name in missing:
        (tmp_path / "data" / name).unlink()
    before = contents(tmp_path / "data")

    with frozen(tmp_path / "data") as snapshot:
        store = open_log_store(snapshot, READ_ONLY)
        found, health, stats = keys(store), store.health(), store.stats()
        with pytest.raises(ReadOnly):
            store.commit(Txn([Put("new", b"")]))
        store.close()

    assert found == {f"k{number}": b"%d" % number for number in range(10)}
    assert health.reasons == []
    assert stats.key_count == 10
    assert contents(tmp_path / "data") == before


def test_torn_tail_of_a_snapshot_is_left_out_and_left_there(tmp_path):
    filled(tmp_path / "data")
    (tmp_path / "data/COMMIT").unlink()
    active = max((tmp_path / "data").glob("*.log"))
    active.write_bytes(active.read_bytes() + b"torn" * 100)
    before = contents(tmp_path / "data")

    with frozen(tmp_path / "data") as snapshot:
        store = open_log_store(snapshot, READ_ONLY)
        found = keys(store)
        store.close()

    assert len(found) == 10
    assert contents(tmp_path / "data") == before


def put_back_older_page(folder: Path, commits: int) -> None:
    """Write with a store of its own, and put back the commit page from before."""
    page = (folder / "COMMIT").read_bytes()
    writer = open_log_store(folder, StoreSettings(segment_records_max=4))
    for number in range(commits):
        writer.commit(Txn([Put(f"after{number}", b"1")]))
    writer.close()
    (folder / "COMMIT").write_bytes(page)


@pytest.mark.parametrize("commits", [1, 3, 9])
def test_snapshot_with_an_older_commit_page_is_read_whole(tmp_path, commits):
    """With 3 and 9 commits the log has gone on in a new segment since."""
    filled(tmp_path / "data")
    put_back_older_page(tmp_path / "data", commits)
    before = contents(tmp_path / "data")

    with frozen(tmp_path / "data") as snapshot:
        store = open_log_store(snapshot, READ_ONLY)
        found = keys(store)
        store.close()

    assert len(found) == 10 + commits
    assert contents(tmp_path / "data") == before


def test_damage_behind_an_older_commit_page_of_a_snapshot_is_told(tmp_path):
    filled(tmp_path / "data")
    active = max((tmp_path / "data").glob("*.log"))
    end = active.stat().st_size
    page = (tmp_path / "data/COMMIT").read_bytes()
    writer = open_log_store(tmp_path / "data")
    for number in range(4):
        writer.commit(Txn([Put(f"after{number}", b"1")]))
    writer.close()
    (tmp_path / "data/COMMIT").write_bytes(page)
    with active.open("r+b") as file:
        file.seek(end + 60)
        file.write(b"XX")

    with frozen(tmp_path / "data") as snapshot, pytest.raises(Damaged) as caught:
        open_log_store(snapshot, READ_ONLY)

    assert (caught.value.path.name, caught.value.offset) == (active.name, end)


def test_commit_page_newer_than_the_manifest_of_a_snapshot_is_told(tmp_path):
    filled(tmp_path / "data")
    shutil.copytree(tmp_path / "data", tmp_path / "older")
    writer = open_log_store(tmp_path / "data", StoreSettings(segment_records_max=4))
    for number in range(9):
        writer.commit(Txn([Put(f"after{number}", b"1")]))
    writer.close()
    shutil.copy(tmp_path / "data/COMMIT", tmp_path / "older/COMMIT")

    with frozen(tmp_path / "older") as snapshot, pytest.raises(Damaged, match="manifest"):
        open_log_store(snapshot, READ_ONLY)


def test_commit_in_flight_is_no_reason_to_leave_the_page_of_a_writer(tmp_path):
    filled(tmp_path / "data")
    older = (tmp_path / "data/COMMIT").read_bytes()
    writer = open_log_store(tmp_path / "data")
    writer.commit(Txn([Put("in flight", b"1")]))
    newer = (tmp_path / "data/COMMIT").read_bytes()

    with frozen(tmp_path / "data") as snapshot, ThreadPoolExecutor() as threads:
        with (tmp_path / "data/LOCK").open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # as a writer does between append and publication
            overwrite(tmp_path / "data/COMMIT", older)
            opening = threads.submit(open_log_store, snapshot, READ_ONLY)
            with pytest.raises(TimeoutError):
                opening.result(timeout=0.2)
            overwrite(tmp_path / "data/COMMIT", newer)
        reader = opening.result(timeout=PATIENCE_S)
        writer.commit(Txn([Put("next", b"2")]))
        found = keys(reader)
        reader.close()
    writer.close()

    assert (found["in flight"], found["next"]) == (b"1", b"2")


def overwrite(page: Path, data: bytes) -> None:
    """Change a page that a store has mapped; ``write_bytes`` cuts it off first: SIGBUS."""
    with page.open("r+b") as file:
        file.write(data)


@pytest.mark.parametrize("settings", [FROZEN, AFTER_RESTART])
def test_nothing_is_opened_for_writing(tmp_path, settings):
    filled(tmp_path / "data")

    with closing(open_log_store(tmp_path / "data", settings)) as store:
        assert len(keys(store)) == 10


def test_commits_that_were_durable_and_are_gone_are_missed(tmp_path):
    """The page of the time before the restart of the machine still knows how far that was."""
    filled(tmp_path / "data")
    active = max((tmp_path / "data").glob("*.log"))
    active.write_bytes(active.read_bytes()[:-8])

    with pytest.raises(Damaged, match="was on stable storage up to"):
        open_log_store(tmp_path / "data", AFTER_RESTART)


def test_torn_tail_where_nothing_can_be_written_is_left_out(tmp_path):
    filled(tmp_path / "data")
    (tmp_path / "data/COMMIT").unlink()
    active = max((tmp_path / "data").glob("*.log"))
    active.write_bytes(active.read_bytes() + b"torn" * 100)

    with closing(open_log_store(tmp_path / "data", FROZEN)) as store:
        assert len(keys(store)) == 10


def test_older_manifest_is_refused_for_reading_too(tmp_path):
    filled(tmp_path / "data")
    manifest = (tmp_path / "data/MANIFEST").read_bytes()
    filled(tmp_path / "data")
    (tmp_path / "data/MANIFEST").write_bytes(manifest)

    with pytest.raises(Damaged, match="older than this segment"):
        open_log_store(tmp_path / "data", FROZEN)


def test_expired_value_is_not_shown_again_by_an_earlier_clock(tmp_path, clock):
    """What the log knows of the time counts, although there is no page."""
    with closing(open_log_store(tmp_path / "data", StoreSettings(clock=clock))) as store:
        store.commit(Txn([Put("short", b"1", ttl_s=10)]))
        clock.advance(11)
        store.commit(Txn([Put("last", b"1")]))
    (tmp_path / "data/COMMIT").unlink()
    clock.advance(-5)

    with closing(
        open_log_store(tmp_path / "data", dataclasses.replace(FROZEN, clock=clock))
    ) as store:
        assert keys(store) == {"last": b"1"}


def test_process_that_writes_through_another_mount_is_followed(tmp_path):
    writer = open_log_store(tmp_path / "data", StoreSettings(segment_records_max=4))
    writer.commit(Txn([Put("a", b"0")]))

    with frozen(tmp_path / "data") as snapshot:
        reader = open_log_store(snapshot, READ_ONLY)
        for number in range(10):
            writer.commit(Txn([Put("a", b"%d" % number)]))
            writer.maintainer.checkpoint()
            entry = reader.get("a")
            assert entry is not None
            assert entry.value == b"%d" % number
        reader.close()
    writer.close()


def test_commands_that_read_work_on_a_snapshot(tmp_path):
    filled(tmp_path / "data")
    TokenFile(tmp_path / "data").add("ops", "read")

    with frozen(tmp_path / "data") as snapshot:
        for command in (
            ("get", "k1"),
            ("ls",),
            ("mget", "k1", "k2"),
            ("export",),
            ("stats",),
            ("verify",),
            ("token", "ls"),
        ):
            ended = run(*command, "--data", str(snapshot))
            assert ended.code == 0, (command, ended)
        written = run("set", "k1", "2", "--data", str(snapshot))
        doctor = run("doctor", "--json", "--data", str(snapshot))

    assert written.code == 4
    (folder,) = [f for f in json.loads(doctor.out)["findings"] if f["name"] == "folder"]
    assert (folder["level"], doctor.code) == ("warning", 0)
    assert "serve --read-only work there" in folder["advice"]


@pytest.mark.parametrize("kind", ["waitress", "granian"])
def test_snapshot_is_served_with_its_tokens(tmp_path, kind):
    if kind == "granian":
        pytest.importorskip("granian")
    filled(tmp_path / "data")
    _, secret = TokenFile(tmp_path / "data").add("ops", "read")
    (tmp_path / "data/TOKENS.changes").unlink()

    with (
        frozen(tmp_path / "data") as snapshot,
        RundletServer(
            *("--data", snapshot, "--read-only", "--server", kind), stderr_path=tmp_path / "stderr"
        ) as server,
    ):
        url = f"{server.url}/v1/kv/k3"
        refused = httpx.get(url, timeout=PATIENCE_S)
        with_it = {"headers": {"Authorization": f"Bearer {secret}"}, "timeout": PATIENCE_S}
        got = httpx.get(url, **with_it)
        written = httpx.put(url, content=b"", **with_it)
        ready = server.client.get("/readyz")

    assert (refused.status_code, got.status_code, got.content) == (401, 200, b"3")
    assert written.status_code == 403
    assert ready.status_code == 200


def test_revoked_token_is_refused_on_a_snapshot_that_goes_on(tmp_path):
    filled(tmp_path / "data")
    tokens = TokenFile(tmp_path / "data")
    tokens.add("one", "read")
    tokens.add("two", "read")

    with frozen(tmp_path / "data") as snapshot:
        (tmp_path / "data/TOKENS.changes").unlink()
        watch = TokenFile(snapshot).watch()
        before = len(watch.current().tokens)
        tokens.remove("one")
        wait_for(lambda: len(watch.current().tokens) == before - 1)


def test_store_on_read_only_media_is_copied(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    filled(tmp_path / "data")
    with frozen(tmp_path / "data") as snapshot:
        copied = run("copy", str(snapshot), str(tmp_path / "to"))

    assert copied.code == 0, copied.err
    with closing(open_log_store(tmp_path / "to")) as store:
        assert keys(store) == {f"k{number}": b"%d" % number for number in range(10)}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a small disk")
def test_backup_on_a_full_disk_is_read(tmp_path):
    filled(tmp_path / "data")
    with mounted(tmp_path / "disk", 2 * MIB) as disk:
        shutil.copytree(tmp_path / "data", disk / "data")
        for name in ("COMMIT", "LOCK", "MAINTENANCE"):
            (disk / "data" / name).unlink()
        fill(disk / "filler")

        store = open_log_store(disk / "data", READ_ONLY)
        found = keys(store)
        store.close()

    assert len(found) == 10


def test_folder_without_a_store_says_that_none_can_be_made(tmp_path):
    (tmp_path / "data").mkdir()

    with frozen(tmp_path / "data") as snapshot, pytest.raises(OSError, match="Read-only"):
        open_log_store(snapshot, READ_ONLY)
