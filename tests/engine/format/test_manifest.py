"""Test a missing or outdated manifest, a file of another store, and a log out of order.

In each case the store does not open, and removes nothing.
"""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path

import pytest

from rundlet_server.storage.care import verify
from rundlet_server.storage.errors import Damaged
from rundlet_server.storage.interface import Put, Txn
from rundlet_server.storage.log.format import frame as frames
from rundlet_server.storage.log.format import record as records
from rundlet_server.storage.log.format.frame import Totals
from rundlet_server.storage.log.format.manifest import read_manifest
from rundlet_server.storage.log.format.record import PUT, Record
from rundlet_server.storage.log.format.segment import Segment
from rundlet_server.storage.log.open.orphans import remove_orphans
from rundlet_server.storage.opening import open_log_store
from rundlet_server.storage.settings import StoreSettings
from tests.support.disks.unsynced_files import UnsyncedFiles
from tests.support.models.model import START_US

FILES = UnsyncedFiles()


def settings(boot_id: int = 1) -> StoreSettings:
    return StoreSettings(files=FILES, boot_id=boot_id, segment_records_max=4, maintain_inline=False)


def commit(folder: Path, count: int) -> None:
    with contextlib.closing(open_log_store(folder, settings())) as store:
        for number in range(count):
            store.commit(Txn([Put(f"k{number}", b"value")]))


def contents(folder: Path) -> dict[str, bytes]:
    names = ("MANIFEST", "0000000001.log", "0000000002.log")
    paths = [folder / name for name in names]
    return {path.name: path.read_bytes() for path in paths if path.exists()}


@pytest.mark.parametrize("count", [1, 6])
def test_a_store_without_its_manifest_is_no_new_store(tmp_path: Path, count: int):
    commit(tmp_path, count)
    (tmp_path / "MANIFEST").unlink()
    before = contents(tmp_path)

    with pytest.raises(Damaged, match="repair"):
        open_log_store(tmp_path, settings())
    assert contents(tmp_path) == before


@pytest.mark.parametrize("boot_id", [1, 2])
def test_a_manifest_older_than_the_log_is_refused(tmp_path: Path, boot_id: int):
    commit(tmp_path, 1)
    older = (tmp_path / "MANIFEST").read_bytes()
    commit(tmp_path, 6)
    (tmp_path / "MANIFEST").write_bytes(older)
    before = contents(tmp_path)

    with pytest.raises(Damaged, match="older"):
        open_log_store(tmp_path, settings(boot_id))
    assert contents(tmp_path) == before


def test_commits_that_an_older_manifest_does_not_know_are_no_orphans(tmp_path: Path):
    commit(tmp_path, 1)
    older = read_manifest(FILES, tmp_path)
    commit(tmp_path, 6)

    assert remove_orphans(FILES, tmp_path, older) == []
    assert (tmp_path / "0000000002.log").exists()


def test_a_segment_under_the_name_of_another_is_refused(tmp_path: Path):
    commit(tmp_path, 6)
    shutil.copy(tmp_path / "0000000001.log", tmp_path / "0000000002.log")

    with pytest.raises(Damaged, match="another name"):
        open_log_store(tmp_path, settings())


@pytest.mark.parametrize(
    ("revision", "totals", "reason"),
    [
        (1, Totals(2, 10), "the revision is not above that before it"),
        (3, Totals(9, 9), "but says that it holds"),
    ],
)
def test_verify_finds_a_commit_that_cannot_be(
    tmp_path: Path, revision: int, totals: Totals, reason: str
):
    commit(tmp_path, 2)
    segment = Segment.open(FILES, tmp_path, 1)
    end = segment.file.size()
    record = Record(b"k0", b"value", PUT, revision, 2, START_US, "text/plain", 0)
    buffers, _ = frames.encode(
        [records.encode(record)],
        record_count=1,
        revision=revision,
        time_us=START_US,
        totals=totals,
        synced=0,
        salt=segment.header.salt,
        offset=end,
    )
    segment.append(buffers, end)
    (tmp_path / "COMMIT").unlink()

    assert any(reason in found.reason for found in verify(tmp_path, settings()).problems)
