"""Test that the bytes of an erased key are in no file, and that all other bytes stay."""

from __future__ import annotations

import pytest

from rundlet_server.storage.errors import BackupGone, Unavailable
from rundlet_server.storage.interface import Put
from rundlet_server.storage.log.check.inspection import inspect
from rundlet_server.storage.log.check.verify import verify
from rundlet_server.storage.log.format.manifest import read_manifest
from rundlet_server.storage.log.maintain import erasure
from tests.engine.erase.conftest import KEY, MARKER, NOTE, TYPE, require_unseen, rest_of
from tests.support.backends import do, put, value
from tests.support.disks.unsynced_files import UnsyncedFiles


@pytest.fixture
def store(spread):
    opened = spread.open()
    yield opened
    opened.close()


def test_no_file_holds_what_was_erased(spread, store):
    spread.fill(store)
    rest = rest_of(store)
    assert len(spread.files_with(MARKER)) == 6  # in each segment that it was written to

    erased = store.erase(KEY)
    assert (erased.versions, erased.is_pending) == (4, True)
    assert spread.files_with(MARKER)
    assert spread.files_with(NOTE.encode())
    require_unseen(store)
    store.maintainer.remove_erased()

    assert spread.files_with(MARKER) == spread.files_with(TYPE.encode()) == []
    assert spread.files_with(NOTE.encode()) == []
    assert not store.maintainer.has_erased
    require_unseen(store)
    assert rest_of(store) == rest
    assert verify(spread.folder, spread.settings).problems == []
    assert inspect(spread.folder, spread.settings).problems == []
    assert inspect(spread.folder, spread.settings).orphans == []


def test_only_files_that_hold_it_are_written_again(spread, store):
    spread.fill(store)
    without = {
        path.name: path.stat().st_ino
        for path in spread.folder.glob("*.log")
        if MARKER not in path.read_bytes()
    }
    assert len(without) == 1
    oldest = store.stats().oldest_revision
    lines = store.history("other/3").versions
    store.erase(KEY)

    store.maintainer.remove_erased()

    for name, inode in without.items():
        assert (spread.folder / name).stat().st_ino == inode
    assert store.stats().oldest_revision == oldest
    assert store.history("other/3").versions == lines


def test_the_key_is_left_in_the_tombstone_until_the_horizon_passes_it(spread, store):
    spread.fill(store)
    revision = store.erase(KEY).revision
    store.maintainer.remove_erased()
    assert {name[-4:] for name in spread.files_with(KEY.encode())} == {".log", ".idx"}

    spread.clock.advance(4_000)
    put(store, "later")
    store.maintainer.compact(thorough=True)

    assert store.stats().oldest_revision >= revision
    assert spread.files_with(KEY.encode()) == []
    assert store.history(KEY).versions == []
    assert not store.erase(KEY).is_found


def test_a_compaction_that_was_asked_for_removes_it_as_well(spread, store):
    spread.fill(store)
    store.erase(KEY)

    store.maintainer.compact(thorough=True)

    assert spread.files_with(MARKER) == []
    assert not store.maintainer.has_erased


def test_orphaned_and_temporary_files_go_too(spread, store):
    spread.fill(store)
    segment = next(path for path in spread.folder.glob("*.log") if MARKER in path.read_bytes())
    do(store, Put("later", b""))
    store._writer.seal()
    store.maintainer.compact(thorough=True)
    orphan = spread.folder / segment.name
    if not orphan.exists():
        orphan.write_bytes(MARKER + KEY.encode())
    (spread.folder / "MANIFEST.tmp").write_bytes(KEY.encode() + MARKER)
    store.erase(KEY)

    store.maintainer.remove_erased()

    assert spread.files_with(MARKER) == []


def test_a_lease_that_holds_it_ends_and_others_stay(spread, store):
    put(store, "other")
    before = store.backups.take(10_000)
    store._writer.seal()  # else the segment of the lease grows, and holds the key
    spread.fill(store)
    holding = store.backups.take(10_000)
    store.erase(KEY)
    with pytest.raises(Unavailable):
        store.backups.take(60)
    store.maintainer.remove_erased()

    assert spread.files_with(MARKER) == []
    with pytest.raises(BackupGone):
        store.backups.find(holding.id)
    assert store.backups.find(before.id).revision == 1
    later = store.backups.take(60)
    assert spread.files_with(MARKER) == []
    assert store.backups.find(later.id).revision == store.stats().revision


def test_a_lease_that_is_taken_meanwhile_is_refused(spread, store):
    """The erasure begins and ends between the links of the lease and the look at its segments."""
    spread.fill(store)
    leases = store.backups
    hold = leases._hold

    def held(folder):
        found = hold(folder)
        store.erase(KEY)
        store.maintainer.remove_erased()
        return found

    leases._hold = held
    with pytest.raises(Unavailable):
        leases.take(60)

    assert spread.files_with(MARKER) == []


def test_bytes_behind_the_frames_of_a_segment_go_too(spread, store):
    """A sync that failed may leave them there, if the file cannot be truncated either."""
    spread.fill(store)
    store.erase(KEY)
    store._writer.seal()
    store.maintainer.checkpoint()
    active = read_manifest(UnsyncedFiles(), spread.folder).active.number
    segments = sorted(spread.folder.glob("*.log"))
    record = next(path.read_bytes() for path in segments if MARKER in path.read_bytes())
    place = record.index(KEY.encode()) - 32
    clean = next(path for path in segments if MARKER not in path.read_bytes())
    assert int(clean.stem) != active
    with clean.open("ab") as file:
        file.write(record[place : place + 200])

    store.maintainer.remove_erased()

    assert spread.files_with(MARKER) == []


@pytest.mark.parametrize("chunk_bytes", [64, 65, 97, 128, 1_000])
def test_a_record_is_found_wherever_pieces_of_a_file_meet(spread, monkeypatch, chunk_bytes):
    monkeypatch.setattr(erasure, "_CHUNK_BYTES", chunk_bytes)
    with_key = put_between(spread)

    for place, path in enumerate(with_key):
        found = erasure.holds_any(UnsyncedFiles().open(path, writable=False), {b"k" * 40: 1_000})
        assert found, f"behind {place} bytes more"


def put_between(spread):
    """Write a record of the key behind values of every size."""
    store = spread.open()
    for size in range(0, 130, 3):
        do(store, Put("x", b"k" * size))
        do(store, Put("k" * 40, b""))
        store._writer.seal()
    store.close()
    return sorted(spread.folder.glob("*.log"))[:-1]


def test_the_bytes_of_the_key_in_a_value_are_no_reason_to_write_a_file_again(spread, store):
    put(store, "other", KEY.encode() * 3)
    put(store, KEY + "0", b"of another key")
    store._writer.seal()
    [first] = [path for path in spread.folder.glob("*.log") if KEY.encode() in path.read_bytes()]
    put(store, KEY, MARKER)
    store.erase(KEY)

    store.maintainer.remove_erased()

    assert first.exists()
    assert value(store, "other") == KEY.encode() * 3
    assert value(store, KEY + "0") == b"of another key"
    assert spread.files_with(MARKER) == []


def test_the_page_of_an_unlinked_file_can_still_be_read(spread, store):
    """A list that began before the erasure ends as it began, without the key."""
    spread.fill(store)
    page = store.scan(limit=2)
    store.erase(KEY)
    store.maintainer.remove_erased()

    rest = store.scan(after=page.resume, at=page.moment)
    assert KEY not in [info.key for info in page.keys + rest.keys]
    assert len(page.keys + rest.keys) == len(rest_of(store))
