"""Test that a bulk load stores the same as commits of the same rows, over any content."""

from __future__ import annotations

import contextlib
import errno
import random
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from rundlet_server.storage.care import repair, verify
from rundlet_server.storage.errors import (
    InvalidKey,
    LimitExceeded,
    OutcomeUnknown,
    ReadOnly,
    StoreError,
    Unavailable,
)
from rundlet_server.storage.interface import Delete, Limits, Put, Row, Txn
from rundlet_server.storage.log.maintain.bulk_load import transactions
from rundlet_server.storage.log.store import LogStore
from rundlet_server.storage.log.write.rolling import Roller
from rundlet_server.storage.opening import open_log_store
from rundlet_server.storage.settings import StoreSettings
from tests.support.disks.faulty_files import Call, FaultyFiles, dying_at, failing_at
from tests.support.disks.unsynced_files import UnsyncedFiles
from tests.support.models.model import Clock
from tests.support.quiet import quiet

TEXT = "text/plain; charset=utf-8"
BYTES = "application/octet-stream"
KEEP_ALL = {"keep_versions": 1_000, "keep_for_s": 3e9}


def rows_of(count: int, *, first: int = 0, value: bytes = b"v") -> list[Row]:
    return [
        (b"key-%06d" % (n * 7919 % 10_007), value + b"%d" % n, TEXT)
        for n in range(first, first + count)
    ]


def settings_of(records_max: int = 50, **others: object) -> StoreSettings:
    options = {"files": UnsyncedFiles(), "segment_records_max": records_max} | KEEP_ALL
    return StoreSettings(**(options | others))


@contextlib.contextmanager
def opened(folder: Path, settings: StoreSettings | None = None) -> Iterator[LogStore]:
    store = open_log_store(folder, settings or settings_of())
    try:
        yield store
    finally:
        store.close()


def contents(store: LogStore) -> dict[str, tuple[bytes, int, str, list[tuple[int, str]]]]:
    """All but revisions and times, history included."""
    found = {}
    page = store.scan(include_values=True, limit=100_000)
    assert page.resume is None
    for info in page.keys:
        assert info.entry is not None
        history = [(line.version, line.kind) for line in store.history(info.key).versions]
        found[info.key] = (info.entry.value, info.version, info.content_type, history)
    stats = store.stats()
    assert stats.key_count == len(found)
    assert stats.value_bytes == sum(len(value) for value, *_ in found.values())
    return found


def commit_rows(store: LogStore, rows: list[Row]) -> None:
    for puts in transactions(rows, store.info.limits):
        store.commit(Txn(puts))


def is_bulk(store: LogStore) -> bool:
    """Whether the last rows came into the store as a chunk."""
    return not store._follower.refresh().active.record_count


def check_whole(store: LogStore, folder: Path) -> None:
    """On disk and for whoever opens the folder it is what this store says."""
    assert verify(folder).problems == []
    with opened(folder) as other:
        assert contents(other) == contents(store)
    with opened(folder, settings_of(boot_id=99)) as restarted:
        assert contents(restarted) == contents(store)


@pytest.mark.parametrize("count", [1, 49, 50, 51, 1_234])
def test_rows_are_there_after_a_load(tmp_path, count):
    rows = rows_of(count)
    with opened(tmp_path) as store:
        store.load(rows)

        assert store.stats().key_count == count
        assert {key.decode(): value for key, value, _ in rows} == {
            key: value for key, (value, *_) in contents(store).items()
        }
        check_whole(store, tmp_path)


def test_a_frame_is_a_commit_with_a_revision_and_totals(tmp_path):
    rows = rows_of(2_500)
    with opened(tmp_path, settings_of(2_500)) as store:
        store.load(rows)
        entries = [store.get(rows[n][0].decode()) for n in (0, 999, 1_000, 2_499)]

        assert [entry.revision for entry in entries] == [1, 1, 2, 3]
        assert store.count(at=1) == 1_000
        assert store.stats().revision == 3
        assert is_bulk(store)
    report = verify(tmp_path)
    assert (report.problems, report.frame_count, report.record_count) == ([], 3, 2_500)


def test_values_of_any_size_and_type_are_stored(tmp_path):
    rows = [
        (b"empty", b"", TEXT),
        (b"large", random.Random(1).randbytes(3_000_000), BYTES),
        (b"larger", bytes(9_000_000), BYTES),
        ("ключ".encode(), b"\0\xff", BYTES),
        (b"json", b"{}", "application/json"),
    ]
    with opened(tmp_path, settings_of(5)) as store:
        store.load(rows)

        assert is_bulk(store)
        assert [store.get(key.decode())[1] for key, _, _ in rows] == [row[1] for row in rows]
        assert [store.get(key.decode()).content_type for key, _, _ in rows] == [r[2] for r in rows]
        check_whole(store, tmp_path)


def test_a_rare_content_type_is_stored(tmp_path):
    with opened(tmp_path, settings_of(2)) as store:
        store.load([(b"a", b"1", "text/x-rare"), (b"b", b"2", TEXT)])

        assert store.get("a").content_type == "text/x-rare"
        check_whole(store, tmp_path)


@pytest.mark.parametrize("seed", range(12))
def test_a_load_equals_commits_on_a_store_that_holds_something(tmp_path, seed):
    """Existing, deleted, expiring and expired keys; keys that come twice; other writers."""
    dice = random.Random(seed)
    clock = Clock()
    records_max = dice.choice([5, 20, 64])
    settings = settings_of(records_max, clock=clock)
    keys = [b"k%d" % number for number in range(60)]
    with (
        opened(tmp_path / "loaded", settings) as loaded,
        opened(tmp_path / "loaded", settings) as beside,
        opened(tmp_path / "committed", settings) as committed,
    ):
        for _ in range(8):
            for _ in range(dice.randrange(12)):
                key = dice.choice(keys).decode()
                ttl_s = dice.choice([None, None, 5.0])
                op = dice.choice(
                    [Put(key, dice.randbytes(dice.randrange(9)), BYTES, ttl_s), Delete(key)]
                )
                dice.choice([loaded, beside]).commit(Txn([op]))
                committed.commit(Txn([op]))
            clock.advance(dice.choice([0, 1, 6]))
            chosen = dice.choice([dice.sample, dice.choices])(keys, k=dice.randrange(1, 60))
            rows = [(key, dice.randbytes(dice.randrange(9)), BYTES) for key in chosen]
            dice.choice([loaded, beside]).load(rows)
            for start in range(0, len(rows), records_max):
                commit_rows(committed, rows[start : start + records_max])
            assert contents(loaded) == contents(beside) == contents(committed)
            dice.choice([loaded.compact, loaded.maintainer.checkpoint, int])()
        check_whole(loaded, tmp_path / "loaded")


def test_older_revisions_can_be_read_after_a_load(tmp_path):
    with opened(tmp_path, settings_of(5, keep_for_s=3_600, keep_versions=1)) as store:
        store.load([(b"k%d" % n, b"1", TEXT) for n in range(5)])
        before = store.stats().revision
        store.load([(b"k%d" % n, b"2", TEXT) for n in range(5)])

        assert is_bulk(store)
        assert store.get("k3", at=before).value == b"1"
        assert store.get("k3").value == b"2"
        assert [line.version for line in store.history("k3").versions] == [2, 1]


def test_index_files_do_not_become_many(tmp_path):
    with opened(tmp_path, settings_of(4)) as store:
        for number in range(60):
            store.load(rows_of(4, first=4 * number))

        assert store.gauges()["index_files"].value <= 24
        store.finish_load()
        assert store.gauges()["index_files"].value <= 2
        assert store.stats().key_count == 240
        check_whole(store, tmp_path)


def test_a_small_load_does_not_copy_a_large_index(tmp_path):
    with opened(tmp_path, settings_of(50)) as store:
        store.load(rows_of(800))
        store.finish_load()
        store.load(rows_of(100, first=800))
        store.finish_load()

        assert [index.row_count for index in store._follower.refresh().indexes] == [100, 800]


def test_rows_that_no_commit_takes_are_refused(tmp_path):
    limits = Limits(key_bytes_max=10, value_bytes_max=10)
    good = [(b"a", b"1", TEXT)]
    with opened(tmp_path, settings_of(2, limits=limits)) as store:
        for row, error in [
            ((b"", b"1", TEXT), InvalidKey),
            ((b"\xff", b"1", TEXT), InvalidKey),
            ((b"k" * 11, b"1", TEXT), LimitExceeded),
            ((b"b", b"v" * 11, TEXT), LimitExceeded),
        ]:
            with pytest.raises(error):
                store.load([*good, row])
        assert store.stats().revision == 0
    with opened(tmp_path, settings_of(is_read_only=True)) as store, pytest.raises(ReadOnly):
        store.load(good)


def test_a_load_goes_on_beside_a_maintainer(tmp_path):
    """Who maintains the folder has its index files for himself: commits do it then."""
    with opened(tmp_path) as store, opened(tmp_path) as other:
        with other.maintainer._exclusive(wait=True):
            store.load(rows_of(100))
        assert store.gauges()["unindexed_records"].value == 100
        store.load(rows_of(100, first=100))

        assert contents(store) == contents(other)
        assert len(contents(other)) == 200
        check_whole(store, tmp_path)


def test_readers_and_writers_of_another_store_work_during_a_load(tmp_path):
    with opened(tmp_path) as store, opened(tmp_path) as other:
        thread = threading.Thread(target=store.load, args=(rows_of(3_000),))
        thread.start()
        revisions = [0]
        number = 0
        while thread.is_alive() or not number:
            number += 1
            revisions.append(other.commit(Txn([Put("own", b"%d" % number)])).revision)
            assert other.get("own").value == b"%d" % number
            stats = other.stats()
            assert other.count(at=stats.revision) == stats.key_count
        thread.join()

        assert revisions == sorted(set(revisions))
        assert len(contents(other)) == 3_001
        assert other.get("own").version == number
        check_whole(store, tmp_path)


# --- every call fails once, or is the last ---------------------------------------------------

LOADED = [(b"a", b"2", TEXT), (b"b", b"2", TEXT), (b"c", b"2", TEXT)]
BEFORE, AFTER = {"a": b"1"}, {"a": b"2", "b": b"2", "c": b"2"}


def values_of(store: LogStore) -> dict[str, bytes]:
    return {key: value for key, (value, *_) in contents(store).items()}


def run_load(folder: Path, files: FaultyFiles) -> dict[str, bytes] | None:
    """One value, then a load of one chunk; what must be there, ``None`` if either may be."""
    try:
        store = open_log_store(folder, settings_of(3, files=files))
    except (OSError, StoreError):
        return {}
    try:
        try:
            store.commit(Txn([Put("a", b"1")]))
        except (OSError, StoreError):
            return None
        try:
            store.load(LOADED)
        except Unavailable:  # a full disk among them: certainly not applied
            return BEFORE
        except (OSError, OutcomeUnknown):
            return None
        return AFTER
    finally:
        with contextlib.suppress(OSError, StoreError):
            store.close()


def check_repair_without_manifest(folder: Path, states: list[dict[str, bytes]]) -> None:
    copy = folder.with_name(f"{folder.name}-without-manifest")
    shutil.copytree(folder, copy)
    (copy / "MANIFEST").unlink(missing_ok=True)
    try:
        repair(copy, settings_of(3))
    except FileNotFoundError:
        assert {} in states
        return
    with opened(copy, settings_of(3)) as store:
        assert values_of(store) in states
    assert verify(copy).problems == []
    shutil.rmtree(copy)


@pytest.mark.parametrize(
    "make", [dying_at, failing_at, lambda number: failing_at(number, errno.ENOSPC)]
)
def test_a_load_that_is_cut_off_at_any_call_is_there_or_not(tmp_path, make):
    files = FaultyFiles()
    assert run_load(tmp_path / "counted", files) == AFTER
    for number in range(1, len(files.calls) + 1):
        folder = tmp_path / str(number)
        held = run_load(folder, make(number))
        if not folder.exists():
            continue
        states = [held] if held else [{}, BEFORE, AFTER]
        check_repair_without_manifest(folder, states)
        with opened(folder, settings_of(3, boot_id=number % 2)) as store:
            found = values_of(store)
            assert found in states, number
            store.load(LOADED)
            assert values_of(store) == AFTER
        assert verify(folder).problems == [], number
        with opened(folder, settings_of(3)) as store:
            store.maintainer.compact(thorough=True)
            assert values_of(store) == AFTER
        assert verify(folder).problems == [], number
        shutil.rmtree(folder)


def test_a_store_whose_load_failed_goes_on(tmp_path):
    files = FaultyFiles()
    run_load(tmp_path / "counted", files)
    for number in range(1, len(files.calls) + 1):
        folder = tmp_path / str(number)
        try:
            store = open_log_store(folder, settings_of(3, files=failing_at(number)))
        except (OSError, StoreError):
            continue
        for attempt in (BEFORE, LOADED, LOADED):
            with contextlib.suppress(OSError, StoreError):
                if attempt is BEFORE:
                    store.commit(Txn([Put("a", b"1")]))
                else:
                    store.load(LOADED)
        assert values_of(store) == AFTER
        assert store.health().reasons == []
        check_whole(store, folder)
        store.close()


def test_nothing_is_seen_before_all_of_a_chunk_is_durable(tmp_path, monkeypatch):
    seen = []
    seal = Roller.seal
    with opened(tmp_path, settings_of(3)) as store, opened(tmp_path, settings_of(3)) as other:

        def watched(roller, view, sealed, index=None):
            seen.append(values_of(other))
            return seal(roller, view, sealed, index)

        monkeypatch.setattr(Roller, "seal", watched)
        store.load(LOADED)

        assert seen == [{}]
        assert values_of(other) == AFTER


def test_a_disk_that_fails_before_anything_is_stored_is_a_refusal(tmp_path: Path):
    broken: list[str] = []

    def fail_broken(_: int, call: Call) -> OSError | None:
        return OSError(errno.EIO, "broken") if call.file in broken else None

    with (
        opened(tmp_path, settings_of(files=FaultyFiles(fail_broken))) as store,
        opened(tmp_path) as other,
    ):
        quiet(store)  # it does not know of the compaction until it loads
        store.load(rows_of(100))
        other.commit(Txn([Put("seen", b"1")]))
        other.maintainer.compact(thorough=True)
        broken.append("MANIFEST")
        with pytest.raises(Unavailable, match="nothing was stored"):
            store.load(rows_of(100, first=100))
        broken.clear()
        assert len(store.scan().keys) == 101
        store.load(rows_of(100, first=100))
        assert len(store.scan().keys) == 201
