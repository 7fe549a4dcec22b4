"""Threads and processes on one folder: who dies between two steps, and who reads meanwhile."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from storage import StoreSettings, open_store
from storage.errors import StoreError
from storage.files import RealFiles
from storage.interface import Put, Txn
from storage.log.manifest import FILE_NAME
from storage.log.store import LogStore


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
        options = {"keep_for_s": 0, "segment_records_max": 4, **settings}
        store = open_store(tmp_path / "data", StoreSettings(**options))
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
