"""Test that damaged bytes are never served, ``verify`` finds them, and ``repair`` keeps the rest.

The tests flip every bit of small files, and zero, swap and copy sectors.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import random
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from rundlet_server.storage.care import repair, verify
from rundlet_server.storage.errors import Damaged, StoreError, Unavailable, UnknownFormat
from rundlet_server.storage.files import RealFiles
from rundlet_server.storage.interface import Delete, Put, Txn
from rundlet_server.storage.log.format import record as records
from rundlet_server.storage.log.format.frame import encode
from rundlet_server.storage.log.format.locator import pack_position
from rundlet_server.storage.log.format.manifest import read_manifest
from rundlet_server.storage.log.format.record import PUT, Record
from rundlet_server.storage.log.index.file import IndexFile
from rundlet_server.storage.log.open.recovery import REVISION_GAP
from rundlet_server.storage.opening import open_log_store
from rundlet_server.storage.settings import StoreSettings
from tests.support.disks.faulty_files import FaultyFiles, dying_at
from tests.support.disks.sample_stores import (
    Sample,
    State,
    fill,
    flipped,
    folder_in_memory,
    state_of,
)

SECTOR_SIZE = 512


@pytest.fixture
def folder() -> Iterator[Path]:
    with folder_in_memory() as folder:
        yield folder


@pytest.fixture
def sample(folder: Path) -> Sample:
    """Nine commits of every kind, all in the active segment."""
    sample = Sample(folder / "data")
    fill(sample)
    return sample


@pytest.fixture(scope="module")
def built() -> Iterator[Sample]:
    """Sealed and compacted segments with an index file, deletes among them, and an active one."""
    with folder_in_memory() as folder:
        sample = Sample(
            folder / "data",
            StoreSettings(segment_records_max=30, keep_for_s=0, keep_versions=1, cache_bytes_max=0),
        )
        with sample.opened() as store:
            for number in range(60):
                sample.commit(store, Put(f"k{number % 20}", b"old %d" % number))
            store.maintainer.compact(thorough=True)
            for number in range(70):
                key = f"k{number % 20}"
                op = Delete(key) if number % 5 == 0 else Put(key, b"new %d" % number * (number % 3))
                sample.commit(store, op)
            store.maintainer.checkpoint()
        yield sample


@pytest.fixture
def large(built: Sample, folder: Path) -> Sample:
    return built.copied(folder / "data")


def bits(path: Path, *, step: int = 1) -> Iterator[int]:
    """Flip each bit of a file, one after the other, and put it right again."""
    for bit in range(0, path.stat().st_size * 8, step):
        flipped(path, bit)
        yield bit
        flipped(path, bit)


# --- the log --------------------------------------------------------------------------------


def test_a_flipped_bit_in_the_published_log_is_refused_with_its_place(sample):
    for bit in bits(sample.active):
        with pytest.raises((Damaged, UnknownFormat)) as caught, sample.opened():
            pass
        if isinstance(caught.value, Damaged):
            assert caught.value.path == sample.active
            assert caught.value.offset <= bit // 8 < caught.value.offset + 250


def test_published_frames_that_cannot_be_read_are_refused_each_time_and_add_nothing(sample):
    """A good frame and one whose records do not fill it, as only a bug can publish them."""
    record = Record(b"new", b"value", PUT, 100, 1, 1)
    with sample.opened() as store:
        view, page = store._follower.current(), store._parts.commit_page
        segment = view.segment(view.active.segment)
        end = view.active.offset
        for revision, count in ((100, 1), (101, 99)):
            buffers, size = encode(
                [records.encode(record._replace(revision=revision))],
                record_count=count,
                revision=revision,
                time_us=view.head.time_us,
                totals=view.head.totals,
                synced=0,
                salt=segment.header.salt,
                offset=end,
            )
            segment.append(buffers, end)
            end += size
        before = (view.active.record_count, len(view.active.times), view.active.offset)
        page.published = pack_position(segment.number, end)

        for _ in range(3):
            with pytest.raises(Damaged) as caught:
                store.get("new")
            assert caught.value.offset == end - size

        assert (view.active.record_count, len(view.active.times), view.active.offset) == before


def test_a_flipped_bit_after_a_restart_is_refused_or_the_tail_that_was_never_durable(sample):
    """Without any page the log is asked, and each frame tells what was durable before it."""
    refusals = 0
    log = sample.active.read_bytes()
    for bit in range(len(log) * 8):
        (sample.folder / "COMMIT").unlink()
        flipped(sample.active, bit)
        try:
            found = sample.reopened()
        except (Damaged, UnknownFormat):
            refusals += 1
        else:
            assert found == sample.at(8), "only the last frame may be taken for a torn tail"
        sample.active.write_bytes(log)

    assert refusals > len(log) * 8 * 0.8


def test_a_flipped_bit_in_a_sealed_segment_is_never_served(large):
    with large.opened() as store:
        refusals = 0
        for path in large.folder.glob("*.log"):
            for bit in bits(path, step=13):
                for key, (value, _, _) in large.last.items():
                    try:
                        entry = store.get(key)
                    except Damaged as ex:
                        refusals += (ex.path, ex.offset <= bit // 8) == (path, True)
                    else:
                        assert entry is not None
                        assert entry.value == value
        assert refusals > 400


def test_a_whole_record_in_the_place_of_another_is_not_served_for_it(folder):
    sample = Sample(folder / "data")
    with sample.opened() as store:
        sample.commit(store, Put("a", b"old"))
        sample.commit(store, Put("b", b"two"))
        sample.commit(store, Put("a", b"new"))
        log = sample.active.read_bytes()
        size = (len(log) - 64) // 3
        first, second, third = (log[64 + n * size :][:size] for n in range(3))
        for wrong in (first, second):
            sample.active.write_bytes(log[: 64 + 2 * size] + wrong)
            with pytest.raises(Damaged):
                store.get("a")
        sample.active.write_bytes(log[: 64 + 2 * size] + third)
        assert state_of(store) == sample.last


@pytest.mark.parametrize("is_restarted", [False, True])
def test_sectors_lost_swapped_or_copied_are_never_served(folder, is_restarted):
    sample = Sample(folder / "data")
    with sample.opened() as store:
        for number in range(12):
            sample.commit(store, Put(f"k{number}", bytes([number]) * 300))
    log = sample.active.read_bytes()
    settings = sample.after_restart() if is_restarted else sample.settings

    for damaged in sector_damage(log):
        sample.active.write_bytes(damaged)
        with pytest.raises((Damaged, UnknownFormat)), sample.opened(settings):
            pass
        assert verify(sample.folder, settings).problems


def sector_damage(data: bytes) -> Iterator[bytes]:
    starts = range(0, len(data), SECTOR_SIZE)
    for start in starts:
        yield data[:start] + bytes(len(data[start : start + SECTOR_SIZE])) + data[start + 512 :]
    for first, second in itertools.permutations(starts, 2):
        if second + SECTOR_SIZE <= len(data) and first + SECTOR_SIZE <= len(data):
            copied = bytearray(data)
            copied[first : first + SECTOR_SIZE] = data[second : second + SECTOR_SIZE]
            yield bytes(copied)
            if first < second:
                copied[second : second + SECTOR_SIZE] = data[first : first + SECTOR_SIZE]
                yield bytes(copied)


# --- the other files ------------------------------------------------------------------------


def test_a_flipped_bit_in_the_manifest_is_refused(sample):
    manifest = sample.folder / "MANIFEST"
    for _ in bits(manifest):
        with pytest.raises(Damaged) as caught, sample.opened():
            pass
        assert caught.value.path == manifest


def test_a_flipped_bit_in_the_commit_page_loses_nothing(sample):
    page = sample.folder / "COMMIT"
    original = page.read_bytes()
    with sample.opened() as store:
        sample.commit(store, Put("soon", b"1", ttl_s=60.0))
    before = page.read_bytes()
    refusals = 0
    for bit in range(16 * 8 * 8):
        flipped(page, bit)
        try:
            assert sample.reopened() == sample.last, f"bit {bit}"
        except (Damaged, UnknownFormat):
            refusals += 1
        page.write_bytes(before)

    assert refusals < 20
    page.write_bytes(original)


def test_a_commit_page_of_another_size_is_made_anew(sample):
    page = sample.folder / "COMMIT"
    for content in (b"", page.read_bytes()[:100], bytes(8_192), b"\xff" * 4_096):
        page.write_bytes(content)
        assert sample.reopened() == sample.last


def test_an_older_manifest_put_back_is_refused(large):
    manifest = (large.folder / "MANIFEST").read_bytes()
    with large.opened() as store:
        for number in range(70):
            large.commit(store, Put(f"later{number}", b"1"))
    (large.folder / "MANIFEST").write_bytes(manifest)

    for settings in (large.settings, large.after_restart()):
        with pytest.raises(Damaged), large.opened(settings):
            pass
    assert verify(large.folder, large.settings).problems
    repair(large.folder, large.settings)
    assert large.reopened() == large.last


def test_a_flipped_bit_in_an_index_file_is_an_error_and_not_a_missing_key(large):
    (state,) = read_manifest(RealFiles(), large.folder).indexes[:1]
    (path,) = large.folder.glob(f"*{state.number}.idx")
    expected = dict(found_in(path, state.number, state.size))
    refusals = 0
    for _ in bits(path, step=5):
        try:
            found = dict(found_in(path, state.number, state.size))
        except (Damaged, UnknownFormat):
            refusals += 1
        else:
            assert found == expected
    assert refusals > state.size


def found_in(path: Path, number: int, size: int) -> Iterator[tuple[str, object]]:
    index = IndexFile(RealFiles(), path, number, size)
    for key in (f"k{number}" for number in range(20)):
        yield key, index.find(key.encode(), None)


# --- verify ---------------------------------------------------------------------------------


def test_verify_of_a_whole_store_counts_and_finds_nothing(large):
    told: list[tuple[int, int]] = []
    report = verify(large.folder, large.settings, progress=lambda *now: told.append(now))

    assert report.problems == []
    assert report.key_count == len(large.last)
    assert report.value_bytes == sum(len(value) for value, _, _ in large.last.values())
    assert report.revision == max(large.states)
    assert told[-1] == (report.bytes_read, report.bytes_read + told[-1][1] - told[-1][0])


def test_verify_changes_nothing(large):
    before = contents(large.folder)
    verify(large.folder, large.settings)

    assert contents(large.folder) == before


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def test_verify_finds_every_flipped_bit(large):
    for path in large.folder.iterdir():
        if path.name in ("LOCK", "MAINTENANCE", "COMMIT"):
            continue
        for bit in bits(path, step=97):
            problems = verified(large)
            assert path in {problem.path for problem in problems}, f"{path} bit {bit}"


def verified(sample: Sample) -> list[object]:
    try:
        return list(verify(sample.folder, sample.settings).problems)
    except UnknownFormat as ex:
        raise AssertionError(str(ex)) from ex


def test_verify_reports_all_damage_and_not_only_the_first(large):
    first, second = sorted(large.folder.glob("*.log"))[:2]
    for path in (first, second):
        flipped(path, 8 * 100)
        flipped(path, 8 * (path.stat().st_size - 10))
    missing = next(large.folder.glob("*.idx"))
    missing.unlink()

    report = verify(large.folder, large.settings)
    found = [problem.path for problem in report.problems]
    assert {first, second, missing} <= set(found)
    assert found.count(first) + found.count(second) >= 3


def test_verify_works_beside_writers_and_compactions(large):
    with large.opened() as store:
        for number in range(20):
            for index in range(10):
                store.commit(Txn([Put(f"w{index}", b"%d" % number)]))
            assert verify(large.folder, large.settings).problems == []
            if number % 5 == 0:
                store.maintainer.compact(thorough=True)
                assert verify(large.folder, large.settings).problems == []


def test_verify_of_no_store_says_so(folder):
    with pytest.raises(FileNotFoundError):
        verify(folder)
    with pytest.raises(FileNotFoundError):
        repair(folder)


# --- repair ---------------------------------------------------------------------------------


def test_repair_of_a_whole_store_changes_nothing(large):
    before = contents(large.folder)

    assert repair(large.folder, large.settings).originals is None
    assert contents(large.folder) == before


def test_repair_wants_to_be_alone(large):
    with large.opened(), pytest.raises(Unavailable):
        repair(large.folder, large.settings)


@pytest.mark.parametrize("name", ["MANIFEST", "*.idx", "COMMIT"])
@pytest.mark.parametrize("is_missing", [True, False])
def test_repair_without_one_of_the_files_beside_the_log_loses_nothing(large, name, is_missing):
    with large.opened() as store:
        store_id = store.info.store_id
    for path in large.folder.glob(name):
        if is_missing:
            path.unlink()
        else:
            path.write_bytes(random.Random(1).randbytes(path.stat().st_size))

    report = repair(large.folder, large.settings)

    assert report.losses == []
    assert report.lost_versions == []
    assert verify(large.folder, large.settings).problems == []
    with large.opened() as store:
        assert state_of(store) == large.last
        if name != "COMMIT":
            assert store.info.store_id != store_id
            assert large.commit(store, Put("new", b"1")) > REVISION_GAP


def test_repair_of_a_segment_loses_only_what_is_damaged_and_names_it(large):
    path = sorted(large.folder.glob("*.log"))[0]
    whole = path.read_bytes()
    copy = large.folder.parent / "copy"
    for bit in range(64 * 8, len(whole) * 8, 301):
        shutil.copytree(large.folder, copy)
        flipped(copy / path.name, bit)
        report = repair(copy, large.settings)
        store = open_log_store(copy, large.settings)
        found = state_of(store)
        store.close()

        lost = {version.key for version in report.lost_versions}
        keys = large.last.keys() | found.keys()
        assert {key for key in keys if large.last.get(key) != found.get(key)} <= lost
        assert all(loss.offset <= bit // 8 < loss.offset + loss.size for loss in report.losses)
        assert report.originals is not None
        assert (report.originals / path.name).exists()
        assert verify(copy, large.settings).problems == []
        shutil.rmtree(copy)


def test_repair_finds_the_records_behind_a_damaged_segment_header(large):
    for path in large.folder.glob("*.log"):
        with path.open("r+b") as file:
            file.write(bytes(64))

    report = repair(large.folder, large.settings)

    assert report.lost_versions == []
    assert large.reopened() == large.last


def test_repair_of_a_missing_segment_names_what_was_in_it_and_keeps_deletes(large):
    path = sorted(large.folder.glob("*.log"))[0]
    gone = {key for key, held in large.last.items()}
    path.unlink()

    report = repair(large.folder, large.settings)
    found = large.reopened()

    assert report.losses[0].path == path
    lost = {version.key for version in report.lost_versions}
    assert gone - found.keys() <= lost
    assert found.keys() <= gone, "no deleted key comes back"
    assert verify(large.folder, large.settings).problems == []


def test_repair_keeps_the_frames_behind_damage_below_the_durable_point(sample):
    flipped(sample.active, 8 * 140)
    with pytest.raises(Damaged), sample.opened():
        pass

    report = repair(sample.folder, sample.settings)

    assert [loss.offset <= 140 < loss.offset + loss.size for loss in report.losses] == [True]
    assert sample.reopened()["é"] == sample.last["é"]


def test_no_revision_comes_back_with_another_value(sample):
    with sample.opened() as store:
        head = store.stats().revision
    flipped(sample.active, 8 * (sample.active.stat().st_size - 20))

    repair(sample.folder, sample.settings)

    with sample.opened() as store:
        assert store.commit(Txn([Put("a", b"other")])).revision > head


def test_repair_twice_is_repair_once(large):
    flipped(sorted(large.folder.glob("*.log"))[0], 8 * 300)
    repair(large.folder, large.settings)
    before = contents(large.folder)

    assert repair(large.folder, large.settings).problems == []
    assert contents(large.folder) == before


@pytest.mark.parametrize("name", ["MANIFEST", "*.log", "*.idx"])
def test_a_repair_that_is_cut_off_at_any_call_can_be_done_again(large, name):
    path = sorted(large.folder.glob(name))[0]
    flipped(path, 8 * 350 if name == "*.log" else 8 * 50)
    copy = large.folder.parent / "copy"
    shutil.copytree(large.folder, copy)
    files = FaultyFiles()
    repair(copy, dataclasses.replace(large.settings, files=files))
    expected = values_in(copy)
    shutil.rmtree(copy)

    for number in range(1, len(files.calls) + 1):
        shutil.copytree(large.folder, copy)
        with pytest.raises(OSError, match="dead"):
            repair(copy, dataclasses.replace(large.settings, files=dying_at(number)))
        repair(copy, large.settings)
        assert values_in(copy) == expected, f"cut off at call {number}"
        assert verify(copy, large.settings).problems == []
        shutil.rmtree(copy)


def values_in(folder: Path) -> State:
    store = open_log_store(folder)
    try:
        return state_of(store)
    finally:
        store.close()


@pytest.mark.parametrize("seed", range(40))
def test_whatever_is_damaged_a_repaired_store_is_whole(large, seed):
    chance = random.Random(seed)
    names = sorted(path.name for path in large.folder.iterdir())
    for _ in range(chance.randrange(1, 4)):
        path = large.folder / chance.choice(names)
        if not path.exists() or not path.stat().st_size:
            continue
        data = bytearray(path.read_bytes())
        start = chance.randrange(len(data))
        match chance.randrange(4):
            case 0:
                data[start] ^= 1 << chance.randrange(8)
            case 1:
                data[start : start + SECTOR_SIZE] = bytes(len(data[start : start + SECTOR_SIZE]))
            case 2:
                del data[start:]
            case _:
                path.unlink()
                continue
        path.write_bytes(data)

    try:
        repair(large.folder, large.settings)
    except FileNotFoundError:
        return
    assert verify(large.folder, large.settings).problems == []
    found = large.reopened()
    for key, (value, _, _) in found.items():
        written = {state[key][0] for state in large.states.values() if key in state}
        assert value in written, f"{key} never had this value"


def test_errors_are_ours(large):
    """Nothing but declared errors, whichever file is replaced by noise."""
    chance = random.Random(7)
    for path in sorted(large.folder.iterdir()):
        data = path.read_bytes()
        path.write_bytes(chance.randbytes(len(data)))
        with contextlib.suppress(StoreError):
            large.reopened()
        path.write_bytes(data)
