"""Test that an erasure is finished whatever ends it, by whichever process, and never undone."""

from __future__ import annotations

import dataclasses
import errno
import shutil
import threading
import time

import pytest

from rundlet_server.storage.errors import DiskFull, StoreError, Unavailable
from rundlet_server.storage.interface import Put
from rundlet_server.storage.log.check.verify import verify
from rundlet_server.storage.log.format.manifest import read_manifest, write_manifest
from rundlet_server.storage.log.maintain import eraser
from rundlet_server.storage.log.maintenance import MaintenanceLoop
from rundlet_server.storage.log.repair.run import repair
from tests.engine.erase.conftest import KEY, MARKER, Spread, require_unseen, rest_of
from tests.support import PATIENCE_S
from tests.support.backends import do, put, value
from tests.support.disks.faulty_files import FaultyFiles, dying_at, failing_at
from tests.support.disks.unsynced_files import UnsyncedFiles


@pytest.fixture
def filled(spread):
    """A closed store with the key all over it."""
    return filled_of(spread)


def filled_of(spread):
    store = spread.open()
    spread.fill(store)
    spread.rest = rest_of(store)
    store.close()
    return spread


def erased_and_unfinished(spread):
    store = spread.open()
    store.erase(KEY)
    store.close()
    assert spread.files_with(MARKER)


def copied(spread, folder):
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(spread.folder, folder)
    copy = Spread(folder)
    copy.clock, copy.settings, copy.rest = spread.clock, spread.settings, spread.rest
    return copy


def call_count(spread, folder):
    files = FaultyFiles()
    copy = copied(spread, folder)
    store = copy.open(files=files)
    store.erase(KEY)
    store.maintainer.remove_erased()
    store._housekeeper.stop()
    return len(files.calls)


@pytest.mark.parametrize("files_that_fail", [dying_at, failing_at])
def test_it_is_finished_after_a_failure_at_some_operations(filled, tmp_path, files_that_fail):
    fail_every(filled, tmp_path, files_that_fail, step=7)


@pytest.mark.soak
@pytest.mark.parametrize("files_that_fail", [dying_at, failing_at])
def test_it_is_finished_after_a_failure_at_any_operation(filled, tmp_path, files_that_fail):
    fail_every(filled, tmp_path, files_that_fail, step=1)


def fail_every(filled, tmp_path, files_that_fail, *, step):
    """Another process finishes what one began that died, or failed, at every so many calls."""
    outcomes = set()
    for number in range(1, call_count(filled, tmp_path / "count") + 1, step):
        copy = copied(filled, tmp_path / "copy")
        is_answered = False
        store = None
        try:
            store = copy.open(files=files_that_fail(number))
            store.erase(KEY)
            is_answered = True
            store.maintainer.remove_erased()
        except (StoreError, OSError):
            pass
        if store is not None:
            store._housekeeper.stop()
        finish(copy, is_answered, f"failure at call {number}")
        outcomes.add(is_answered)
    assert outcomes == {False, True}


def finish(copy, is_answered, context):
    """Another process looks after the folder: there is all of the key, or nothing."""
    store = copy.open()
    is_there = store.get(KEY) is not None
    assert not (is_there and is_answered), context
    loop = MaintenanceLoop(store)
    loop.tick(0)
    if is_there:
        assert store.get(KEY).value == MARKER, context
    else:
        require_unseen(store)
        assert copy.files_with(MARKER) == [], context
        assert not store.maintainer.has_erased, context
    assert rest_of(store) == copy.rest, context
    store.close()
    assert verify(copy.folder, copy.settings).problems == [], context


def test_the_maintenance_process_finishes_it(filled):
    erased_and_unfinished(filled)
    store = filled.open()

    MaintenanceLoop(store).tick(0)

    assert filled.files_with(MARKER) == []
    assert store.erase(KEY, wait_s=PATIENCE_S).is_pending is False
    store.close()


def test_a_store_that_maintains_itself_finishes_it_when_it_is_opened(filled):
    erased_and_unfinished(filled)

    store = filled.open(maintain_inline=True)

    end_s = time.monotonic() + PATIENCE_S
    while store.maintainer.has_erased:
        assert time.monotonic() < end_s
        time.sleep(0.01)
    assert filled.files_with(MARKER) == []
    store.close()


def test_it_hides_and_waits_across_processes(filled):
    erasing, maintaining = filled.open(), filled.open()
    assert value(maintaining, KEY) == MARKER
    found = []
    thread = threading.Thread(target=lambda: found.append(erasing.erase(KEY, wait_s=PATIENCE_S)))
    thread.start()
    while value(maintaining, KEY) is not None:
        time.sleep(0.001)
    require_unseen(maintaining)
    assert erasing.erase(KEY, wait_s=0.02).is_pending

    MaintenanceLoop(maintaining).tick(0)
    thread.join()

    assert not found[0].is_pending
    assert filled.files_with(MARKER) == []
    require_unseen(erasing)
    erasing.close()
    maintaining.close()


def test_the_bytes_wait_until_the_disk_has_space(filled):
    store = filled.open()
    store.erase(KEY)
    free_space = store._writer.free_space

    class Full:
        free_bytes = 0
        segment_bytes_max = free_space.segment_bytes_max

        def grows_above(self, before):
            return before < 0

    store._writer.free_space = Full()
    with pytest.raises(DiskFull):
        store.maintainer.remove_erased()
    assert store.maintainer.has_erased
    require_unseen(store)

    store._writer.free_space = free_space
    store.maintainer.remove_erased()

    assert filled.files_with(MARKER) == []
    store.close()


def test_erasures_wait_for_the_removal_of_too_many_others(filled, monkeypatch):
    monkeypatch.setattr(eraser, "ERASURES_MAX", 2)
    store = filled.open()
    store.erase("other/0")
    store.erase("other/1")
    with pytest.raises(Unavailable):
        store.erase(KEY)
    assert value(store, KEY) == MARKER

    store.maintainer.remove_erased()
    store.erase(KEY)

    require_unseen(store)
    store.close()


def test_a_key_that_is_written_while_it_is_removed_stays(filled):
    store = filled.open()
    store.erase(KEY)
    put(store, KEY, b"new")

    store.maintainer.remove_erased()

    assert value(store, KEY) == b"new"
    assert filled.files_with(MARKER) == []
    store.close()
    again = filled.open()
    assert value(again, KEY) == b"new"
    again.close()


def test_a_repair_brings_nothing_back(filled):
    erased_and_unfinished(filled)
    segments = sorted(filled.folder.glob("*.log"))
    damaged = segments[2]
    data = bytearray(damaged.read_bytes())
    data[len(data) // 2] ^= 1
    damaged.write_bytes(data)

    report = repair(filled.folder, filled.settings)

    assert report.originals is not None
    shutil.rmtree(report.originals)
    store = filled.open()
    assert store.get(KEY) is None
    MaintenanceLoop(store).tick(0)
    assert filled.files_with(MARKER) == []
    store.close()
    assert verify(filled.folder, filled.settings).problems == []


def test_a_repair_writes_an_erasure_again_that_only_the_manifest_knows(filled):
    erased_and_unfinished(filled)
    store = filled.open()
    do(store, Put("later", b""))
    store._writer.seal()
    store.maintainer.checkpoint()
    store.close()
    manifest = read_manifest(UnsyncedFiles(), filled.folder)
    [last] = [
        state.number
        for state in manifest.segments[:-1]
        if state.last_revision == manifest.active.last_revision
    ]
    (filled.folder / f"{last:010}.log").unlink()
    for path in filled.folder.glob("*.idx"):
        path.unlink()

    report = repair(filled.folder, filled.settings)
    shutil.rmtree(report.originals)

    store = filled.open()
    require_no_value(store)
    MaintenanceLoop(store).tick(0)
    assert filled.files_with(MARKER) == []
    store.close()


def require_no_value(store):
    assert store.get(KEY) is None
    assert KEY not in [info.key for info in store.scan().keys]
    assert store.stats().key_count == store.count(prefix="")


def test_a_folder_of_an_earlier_release_gets_the_format_that_it_refuses(spread, monkeypatch):
    spread.has_metadata = False
    filled = filled_of(spread)
    manifest = read_manifest(UnsyncedFiles(), filled.folder)
    with monkeypatch.context() as earlier:
        earlier.setattr("rundlet_server.storage.log.format.manifest._WITHOUT_NEEDS", 1)
        write_manifest(UnsyncedFiles(), filled.folder, manifest)
    assert format_of(filled) == 1
    settings = dataclasses.replace(filled.settings, keep_versions=None, keep_for_s=None)
    filled.settings = settings
    formats = []

    class Watching(FaultyFiles):
        def check(self, name, path):
            if name == "pwrite" and path.suffix == ".log":
                formats.append(format_of(filled))
            return super().check(name, path)

    store = filled.open(files=Watching())
    store.erase(KEY)

    assert formats == [2]
    store.close()


def format_of(spread):
    return int.from_bytes((spread.folder / "MANIFEST").read_bytes()[8:12], "little")


def test_a_bulk_load_after_it_begins_at_version_one(filled):
    store = filled.open(segment_records_max=2)
    store.erase(KEY)

    store.load([(KEY.encode(), b"loaded", "text/plain"), (b"another", b"x", "text/plain")])

    entry = store.get(KEY)
    assert (entry.value, entry.version) == (b"loaded", 1)
    assert store.maintainer.has_erased
    store.maintainer.remove_erased()
    assert store.get(KEY) == entry
    assert [line.kind for line in store.history(KEY).versions] == ["put", "erase"]
    assert filled.files_with(MARKER) == []
    store.close()
    assert verify(filled.folder, filled.settings).problems == []


def test_what_the_disk_refuses_is_not_erased(filled):
    store = filled.open(files=FaultyFiles(lambda _, call: refusal(call)))

    with pytest.raises(StoreError):
        store.erase(KEY)

    assert value(store, KEY) == MARKER
    store.close()


def refusal(call):
    is_append = call.name == "pwrite" and call.file.endswith(".log")
    return OSError(errno.EIO, "bad sector", call.file) if is_append else None
