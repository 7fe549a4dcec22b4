"""Test ``storage.files``, through which all access to the file system goes."""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path

import pytest

from rundlet_server.storage.care import repair
from rundlet_server.storage.files import RealFiles
from rundlet_server.storage.interface import Put, Txn
from rundlet_server.storage.log.format.names import segment_name
from rundlet_server.storage.opening import open_log_store
from rundlet_server.storage.settings import StoreSettings
from rundlet_server.storage.tokens.file import TokenFile


def test_nobody_but_its_owner_may_look_into_a_store(tmp_path: Path):
    folder = tmp_path / "data"
    store = open_log_store(folder)
    store.commit(Txn([Put("a", b"1")]))
    store.close()

    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes files for others")
def test_what_root_makes_in_the_folder_of_another_is_theirs(tmp_path: Path):
    folder = tmp_path / "data"
    folder.mkdir(mode=0o700)
    os.chown(folder, 4_242, 4_243)
    not_theirs = tmp_path / "not-theirs"
    not_theirs.touch()
    (folder / "LOCK").symlink_to(not_theirs)

    store = open_log_store(folder)
    store.commit(Txn([Put("a", b"1")]))
    store.backups.take(60)
    with store.hold(1):
        assert list((folder / "holds").iterdir())
    store.close()
    TokenFile(folder).add("app", "read")
    segment = folder / segment_name(1)
    segment.write_bytes(segment.read_bytes() + b"damage" * 100)
    (folder / "MANIFEST").write_bytes(b"damage")
    repair(folder)

    assert (folder / "repair-1").is_dir()
    made = [path for path in folder.rglob("*") if path.name != "LOCK"]
    assert {(path.stat().st_uid, path.stat().st_gid) for path in made} == {(4_242, 4_243)}
    assert not_theirs.stat().st_uid == 0


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_a_sync_asks_the_system_for_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    synced: list[str] = []

    def note(fd: int) -> None:
        synced.append(os.readlink(f"/proc/self/fd/{fd}"))

    monkeypatch.setattr(os, "fdatasync", note)
    monkeypatch.setattr(os, "fsync", note)
    file = RealFiles().open(tmp_path / "file", create=True)
    file.sync()
    file.close()
    RealFiles().sync_folder(tmp_path)

    assert synced == [str(tmp_path / "file"), str(tmp_path)]


def test_a_write_goes_on_where_the_kernel_wrote_short(tmp_path, monkeypatch):
    real = os.pwritev
    monkeypatch.setattr(
        os, "pwritev", lambda fd, buffers, offset: real(fd, [bytes(buffers[0])[:3]], offset)
    )
    file = RealFiles().open(tmp_path / "file", create=True)
    file.pwrite([b"abcde", b"", b"fg", b"hijklmn"], 2)
    file.close()

    assert (tmp_path / "file").read_bytes() == b"\0\0abcdefghijklmn"


def test_room_is_what_the_system_says(tmp_path: Path):
    found = os.statvfs(tmp_path)

    assert 0 < RealFiles().free_bytes(tmp_path) <= found.f_blocks * found.f_frsize


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_a_file_system_that_does_not_count_is_not_full():
    assert os.statvfs("/proc").f_blocks == 0
    assert RealFiles().free_bytes(Path("/proc")) == sys.maxsize


def test_a_missing_folder_is_not_created_for_reading(tmp_path):
    with pytest.raises(FileNotFoundError):
        open_log_store(tmp_path / "typo", StoreSettings(is_read_only=True))

    assert list(tmp_path.iterdir()) == []
