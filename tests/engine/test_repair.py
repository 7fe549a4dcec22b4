"""Test that ``repair`` names all that is lost and all that came back, by a model that knows both.

The model knows the content after every commit and where in which file each record was. After a
repair each key that differs must be named, or the place of its newest record must lie in a part of
a file that is named as lost. And no revision is taken back.
"""

from __future__ import annotations

import dataclasses
import random
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from rundlet_server.storage.care import RepairReport, repair, verify
from rundlet_server.storage.errors import Compacted
from rundlet_server.storage.files import RealFiles
from rundlet_server.storage.interface import Delete, Put, Txn
from rundlet_server.storage.log.format import record as records
from rundlet_server.storage.log.format.segment import HEADER_SIZE, Segment
from rundlet_server.storage.log.open.recovery import REVISION_GAP
from rundlet_server.storage.settings import StoreSettings
from tests.support.disks.faulty_files import FaultyFiles, dying_at
from tests.support.disks.sample_stores import Sample, State, fill, flipped, folder_in_memory

SECTOR_SIZE = 512


@dataclass
class Place:
    """Where the newest record of a key was before the damage."""

    revision: int
    path: Path
    offset: int
    is_indexed: bool


class Truth:
    """What a store held before the damage."""

    def __init__(self, sample: Sample) -> None:
        self.sample = sample
        self.last = sample.last
        self.newest: dict[str, Place] = {}
        with sample.opened() as store:
            self.head = store.stats().revision
            segments = store._follower.view.manifest.segments
        for state in segments:
            segment = Segment.open(RealFiles(), sample.folder, state.number, writable=False)
            for frame in segment.frames(HEADER_SIZE, segment.file.size()):
                for offset, data in frame.records():
                    record = records.decode(bytes(data))
                    place = Place(record.revision, segment.path, offset, state.is_indexed)
                    self.newest[record.key.decode()] = place

    def check(self, report: RepairReport, *, is_page_kept: bool = True) -> State:
        """Compare a report and the repaired store with what was there.

        Args:
            report: of the repair.
            is_page_kept: the commit page was not damaged. Without it, nothing tells a log that was
                cut between two frames from one that ends there.
        """
        sample = self.sample
        assert verify(sample.folder, sample.settings).problems == []
        with sample.opened() as store:
            head = store.stats().revision
        found = sample.reopened()
        lost = {version.key for version in report.lost_versions}
        back = {key for key, _, _ in report.came_back}
        for key in self.last.keys() | found.keys():
            if found.get(key) == self.last.get(key):
                continue
            place = self.newest.get(key)
            is_part_named = place is not None and is_in_a_loss(report, place)
            assert key in lost | back or is_part_named or not is_page_kept, f"{key} is not named"
        for key in back:
            assert key in found, f"{key} did not come back"
            assert found[key] != self.last.get(key), f"{key} has the value that it had"
        assert head == report.revision
        assert head >= max(self.known(report), default=0)
        assert report.is_anything_lost == (report.list_path is not None)
        if report.list_path is not None:
            lines = report.list_path.read_text().splitlines()
            assert sum(line.startswith("lost: ") for line in lines) == len(
                report.losses + report.lost_versions
            )
            assert sum(line.startswith("came back: ") for line in lines) == len(report.came_back)
        return found

    def known(self, report: RepairReport) -> Iterator[int]:
        """Yield the revisions that whole files, or the report, still know of."""
        yield from (version.revision for version in report.lost_versions)
        if report.is_anything_lost:
            yield self.head


def is_in_a_loss(report: RepairReport, place: Place) -> bool:
    """Whether a part of a file that is lost held this record. Size 0: up to the end."""
    return any(
        loss.path == place.path
        and loss.offset <= place.offset + records.OVERHEAD
        and (not loss.size or place.offset < loss.offset + loss.size)
        for loss in report.losses
    )


@pytest.fixture
def folder() -> Iterator[Path]:
    with folder_in_memory() as folder:
        yield folder


@pytest.fixture(scope="module")
def built() -> Iterator[Sample]:
    """Segments that are compacted, sealed with and without an index file, and active."""
    with folder_in_memory() as folder:
        settings = StoreSettings(
            segment_records_max=30, keep_for_s=0, keep_versions=1, cache_bytes_max=0
        )
        sample = Sample(folder / "data", settings)
        with sample.opened() as store:
            for number in range(60):
                sample.commit(store, Put(f"k{number % 20}", b"old %d" % number))
            sample.commit(store, Put("gone", b"1"))
            sample.commit(store, Delete("gone"))
            store.maintainer.compact(thorough=True)
            for number in range(70):
                key = f"k{number % 20}"
                op = Delete(key) if number % 5 == 0 else Put(key, b"new %d" % number)
                sample.commit(store, op)
            store.maintainer.checkpoint()
            for number in range(45):
                key = f"k{number % 9}"
                op = Delete(key) if number % 7 == 0 else Put(key, b"newest %d" % number)
                sample.commit(store, op)
        yield sample


@pytest.fixture
def large(built: Sample, folder: Path) -> Sample:
    return built.copied(folder / "data")


# --- every kind of damage -------------------------------------------------------------------


def flip(data: bytearray, chance: random.Random) -> None:
    data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)


def zero(data: bytearray, chance: random.Random) -> None:
    start = chance.randrange(len(data))
    data[start : start + SECTOR_SIZE] = bytes(len(data[start : start + SECTOR_SIZE]))


def cut(data: bytearray, chance: random.Random) -> None:
    del data[chance.randrange(len(data)) :]


def cut_to_nearly_nothing(data: bytearray, chance: random.Random) -> None:
    del data[chance.randrange(HEADER_SIZE + 1) :]


def noise(data: bytearray, chance: random.Random) -> None:
    data[:] = chance.randbytes(len(data))


DAMAGES: list[Callable[[bytearray, random.Random], None] | None] = [
    flip,
    zero,
    cut,
    cut_to_nearly_nothing,
    noise,
    None,  # the file is missing
]


@pytest.mark.parametrize("seed", range(60))
def test_whatever_is_damaged_the_report_tells_the_truth(large, seed):
    chance = random.Random(seed)
    truth = Truth(large)
    names = sorted(path.name for path in large.folder.iterdir())
    damaged = set()
    for _ in range(chance.randrange(1, 4)):
        path = large.folder / chance.choice(names)
        if not path.exists() or not path.stat().st_size:
            continue
        damaged.add(path.name)
        damage = chance.choice(DAMAGES)
        if damage is None:
            path.unlink()
            continue
        data = bytearray(path.read_bytes())
        damage(data, chance)
        path.write_bytes(data)

    report = repair(large.folder, large.settings)
    truth.check(report, is_page_kept="COMMIT" not in damaged)


@pytest.mark.parametrize("is_restarted", [False, True])
@pytest.mark.parametrize("name", ["*.log", "*.idx"])
@pytest.mark.parametrize("damage", DAMAGES)
def test_each_damaged_file_is_reported_by_what_it_held(large, name, damage, is_restarted):
    truth = Truth(large)
    chance = random.Random(1)
    settings = large.after_restart() if is_restarted else large.settings
    copy = large.folder.parent / "copy"
    shutil.copytree(large.folder, copy)
    for path in sorted(large.folder.glob(name)):
        data = bytearray(path.read_bytes())
        if damage is None:
            path.unlink()
        else:
            damage(data, chance)
            path.write_bytes(data)

        report = repair(large.folder, settings)

        found = truth.check(report)
        if found != truth.last:
            assert report.is_anything_lost
        for key, place in truth.newest.items():
            # What an index file knows is named by its key, or kept.
            if name == "*.log" and place.is_indexed and found.get(key) != truth.last.get(key):
                assert key in {version.key for version in report.lost_versions}
        shutil.rmtree(large.folder)
        shutil.copytree(copy, large.folder)


@pytest.mark.parametrize("is_page_missing", [False, True])
@pytest.mark.parametrize("size", [0, 1, HEADER_SIZE - 1, None])
def test_an_active_segment_shorter_than_its_header_is_a_loss(large, size, is_page_missing):
    truth = Truth(large)
    if size is None:
        large.active.unlink()
    else:
        with large.active.open("r+b") as file:
            file.truncate(size)
    if is_page_missing:
        (large.folder / "COMMIT").unlink()

    report = repair(large.folder, large.settings)

    assert report.losses
    assert truth.check(report) != truth.last


def test_an_empty_active_segment_without_its_header_is_no_loss(folder):
    sample = Sample(folder / "data")
    with sample.opened() as store:
        sample.commit(store, Put("a", b"1"))
        store._writer.seal()
    truth = Truth(sample)
    sample.active.write_bytes(b"")

    report = repair(sample.folder, sample.settings)

    assert report.problems
    assert not report.is_anything_lost
    assert truth.check(report) == truth.last


@pytest.mark.parametrize("is_backup_indexed", [False, True])
@pytest.mark.parametrize("is_manifest_missing", [False, True])
@pytest.mark.parametrize("is_compacted", [False, True])
def test_a_backup_unpacked_over_a_newer_folder_is_told_key_by_key(
    folder, is_compacted, is_manifest_missing, is_backup_indexed
):
    """Files of both times lie side by side, and the older ones have won."""
    settings = StoreSettings(
        segment_records_max=100, keep_for_s=0, keep_versions=1, cache_bytes_max=0
    )
    sample = Sample(folder / "data", settings)
    with sample.opened() as store:
        for number in range(150):
            sample.commit(store, Put(f"k{number}", b"old"))
        if is_backup_indexed:
            store.maintainer.checkpoint()
    backup = folder / "backup"
    shutil.copytree(sample.folder, backup)
    with sample.opened() as store:
        for number in range(150):
            key = f"k{number}"
            op = Delete(key) if number % 5 == 0 else Put(key, b"new")
            sample.commit(store, op)
        store.maintainer.checkpoint()
        if is_compacted:
            store.maintainer.compact(thorough=True)
        sample.commit(store, Put("last", b"1"))
    truth = Truth(sample)
    shutil.copytree(backup, sample.folder, dirs_exist_ok=True)
    if is_manifest_missing:
        (sample.folder / "MANIFEST").unlink()

    report = repair(sample.folder, sample.settings)

    found = truth.check(report)
    assert report.revision >= truth.head
    back = {key for key, _, _ in report.came_back}
    differing = {key for key in found if found[key] != truth.last.get(key)}
    assert back == differing, "each key with an older value is named, and no other"
    if not is_compacted:
        assert found.keys() <= truth.last.keys(), "the index files know of all deletes"


def test_a_segment_that_only_the_commit_page_knows_is_a_loss(large):
    (large.folder / "MANIFEST").unlink()
    path = large.active
    path.unlink()

    report = repair(large.folder, large.settings)

    assert path in [loss.path for loss in report.losses]


def test_an_end_that_was_durable_and_is_gone_is_a_loss(sample):
    """After a restart of the machine, and without a manifest, the page still knows so much."""
    with sample.opened() as store:
        sample.commit(store, Put("last", b"1"))
        last = store._follower.view.segment(store._follower.view.active.segment)
        ends = [frame.offset for frame in last.frames(HEADER_SIZE, last.file.size())]
    (sample.folder / "MANIFEST").unlink()
    with sample.active.open("r+b") as file:
        file.truncate(ends[-1])

    report = repair(sample.folder, sample.after_restart())

    assert (sample.active.parent / "repair-1" / "LOST").exists()
    assert [loss.offset for loss in report.losses] == [ends[-1]]


def test_a_commit_behind_what_an_older_page_knows_is_kept(sample):
    """No later frame shows that it was acknowledged, and it may have been."""
    page = (sample.folder / "COMMIT").read_bytes()
    with sample.opened() as store:
        sample.commit(store, Put("last", b"1"))
    (sample.folder / "COMMIT").write_bytes(page)
    sorted(sample.folder.glob("*.log"))[0].unlink()

    assert repair(sample.folder, sample.settings).losses

    assert sample.reopened()["last"] == sample.last["last"]


def test_a_repair_keeps_the_time_that_processes_have_acted_on(sample):
    """What has expired stays expired, although the clock is set back."""
    with sample.opened() as store:
        sample.commit(store, Put("short", b"1", ttl_s=10))
        sample.clock.advance(11)
        assert store.get("short") is None
    sorted(sample.folder.glob("*.log"))[0].unlink()
    sample.clock.advance(-5)

    assert repair(sample.folder, sample.settings).losses

    assert "short" not in sample.reopened()


def test_a_hole_between_a_backup_and_what_is_newer_is_a_loss(folder):
    """The backup has the shorter form of a segment, and no index file is left to know the keys."""
    settings = StoreSettings(segment_records_max=10, cache_bytes_max=0)
    sample = Sample(folder / "data", settings)
    with sample.opened() as store:
        for number in range(15):
            sample.commit(store, Put(f"k{number}", b"1"))
    backup = folder / "backup"
    shutil.copytree(sample.folder, backup)
    with sample.opened() as store:
        for number in range(15, 45):
            sample.commit(store, Put(f"k{number}", b"1"))
    shutil.copytree(backup, sample.folder, dirs_exist_ok=True)
    for path in sample.folder.glob("*.idx"):
        path.unlink()

    report = repair(sample.folder, sample.settings)

    found = sample.reopened()
    assert sample.last.keys() - found.keys() == {f"k{number}" for number in range(15, 20)}
    assert any("revisions 16 to 20 are in no segment" in loss.reason for loss in report.losses)


@pytest.mark.parametrize(("kept", "lost_count"), [(15, 5), (20, 0)])
def test_a_hole_beside_the_gap_of_a_power_cut_is_a_loss(folder, kept, lost_count):
    settings = StoreSettings(segment_records_max=10, cache_bytes_max=0, sync="never")
    sample = Sample(folder / "data", settings)
    backup = folder / "backup"
    with sample.opened() as store:
        for number in range(20):
            if number == kept:
                shutil.copytree(sample.folder, backup)
            sample.commit(store, Put(f"k{number}", b"1"))
    if kept == 20:
        shutil.copytree(sample.folder, backup)
    with sample.opened(sample.after_restart()) as store:
        for number in range(20, 45):
            sample.commit(store, Put(f"k{number}", b"1"))
    shutil.copytree(backup, sample.folder, dirs_exist_ok=True)
    for path in sample.folder.glob("*.idx"):
        path.unlink()

    report = repair(sample.folder, sample.settings)

    found = sample.reopened()
    assert len(sample.last.keys() - found.keys()) == lost_count
    reasons = [loss.reason for loss in report.losses if "in no segment" in loss.reason]
    end = 20 + REVISION_GAP
    told = f"{lost_count} revisions between 16 and {end} are in no segment; unless all were deletes"
    assert reasons == ([f"{told}, they are lost"] if lost_count else [])


def test_a_key_that_came_back_is_told_with_the_newest_value_that_is_lost(folder):
    """Of three versions the middle one is left, and the index file knows all."""
    settings = StoreSettings(keep_versions=3, cache_bytes_max=0)
    sample = Sample(folder / "data", settings)
    revisions = []
    with sample.opened() as store:
        for value in (b"first", b"second", b"third"):
            revisions.append(sample.commit(store, Put("k", value)))
            store._writer.seal()
        store.maintainer.checkpoint()
        store.maintainer.merge_all()
    first, _, third, _ = sorted(sample.folder.glob("*.log"))
    first.unlink()
    third.unlink()

    report = repair(sample.folder, sample.settings)

    assert report.came_back == [("k", revisions[1], revisions[2])]
    assert {version.revision for version in report.lost_versions} == {revisions[0], revisions[2]}
    assert sample.reopened()["k"][0] == b"second"


def test_a_repair_after_one_that_was_cut_off_tells_what_that_one_lost(large):
    path = sorted(large.folder.glob("*.log"))[1]
    flipped(path, 8 * 350)
    for name in ("MANIFEST", "COMMIT"):
        (large.folder / name).unlink()
    copy = large.folder.parent / "copy"
    shutil.copytree(large.folder, copy)
    files = FaultyFiles()
    assert repair(copy, dataclasses.replace(large.settings, files=files)).is_anything_lost
    call_count = len(files.calls)
    shutil.rmtree(copy)

    for number in range(1, call_count + 1):
        shutil.copytree(large.folder, copy)
        with pytest.raises(OSError, match="dead"):
            repair(copy, dataclasses.replace(large.settings, files=dying_at(number)))
        report = repair(copy, large.settings)
        if report.problems:
            assert report.is_anything_lost, f"cut off at call {number}"
            assert not list(copy.glob("repair-*/LOST.unfinished"))
        else:
            assert list(copy.glob("repair-*/LOST*"))
        shutil.rmtree(copy)


# --- revisions ------------------------------------------------------------------------------


def test_no_repair_takes_revisions_back_although_only_older_records_are_left(large):
    """A first repair leaves a gap; the second one finds nothing of what came after it."""
    flipped(sorted(large.folder.glob("*.log"))[0], 8 * 200)
    repair(large.folder, large.settings)
    with large.opened() as store:
        head = store.commit(Txn([Put("after", b"1")])).revision
        store._writer.seal()
        store.maintainer.checkpoint()
    newest = sorted(large.folder.glob("*.log"))[-2:]
    for path in newest:
        path.unlink()
    copy = large.folder.parent / "copy"
    shutil.copytree(large.folder, copy)

    for name in ("MANIFEST", "*.idx", "COMMIT"):
        for path in large.folder.glob(name):
            path.unlink()  # what is left still knows of the revision
        report = repair(large.folder, large.settings)
        with large.opened() as store:
            assert store.stats().revision == report.revision
            assert store.stats().revision >= head, f"without {name}"
            assert store.commit(Txn([Put("new", b"1")])).revision > report.revision
            with pytest.raises(Compacted):
                store.get("k1", at=head - 1)
        shutil.rmtree(large.folder)
        shutil.copytree(copy, large.folder)


@pytest.mark.parametrize("witness", ["*.idx", "newest *.log", "repair-*"])
def test_one_witness_is_enough_to_keep_the_revision(large, witness):
    """The head is far above the older records that are left, and one kind of file knows that."""
    for number in range(3):
        (large.folder / "COMMIT").unlink()
        large.active.unlink()
        repair(large.folder, large.settings)
        with large.opened() as store:
            head = store.commit(Txn([Put(f"after {number}", b"1")])).revision
            store._writer.seal()
    with large.opened() as store:
        store.maintainer.checkpoint()
        store.maintainer.merge_all()
    oldest, *newer = sorted(large.folder.glob("*.log"))
    assert head > 3 * REVISION_GAP
    for name in ("MANIFEST", "COMMIT"):
        (large.folder / name).unlink()
    for pattern, paths in {
        "*.idx": list(large.folder.glob("*.idx")),
        "newest *.log": newer,
        "repair-*": list(large.folder.glob("repair-*")),
    }.items():
        for path in paths if pattern != witness else []:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert oldest.exists()

    report = repair(large.folder, large.settings)

    assert report.revision >= head
    assert report.is_anything_lost


def test_a_head_that_only_a_kept_manifest_knows_is_kept(sample):
    """The first repair leaves a gap below its head; nothing is committed after it."""
    (sample.folder / "COMMIT").unlink()
    sample.active.unlink()
    head = repair(sample.folder, sample.settings).revision
    assert head > REVISION_GAP
    for names in (["*.idx"], ["*.idx", "MANIFEST", "COMMIT"]):
        for name in names:
            for path in sample.folder.glob(name):
                path.unlink()

        report = repair(sample.folder, sample.settings)

        assert not report.is_anything_lost
        assert report.revision >= head


def test_a_repair_without_loss_keeps_the_revision_and_the_history(large):
    with large.opened() as store:
        head = store.stats().revision
    for path in large.folder.glob("*.idx"):
        path.unlink()

    report = repair(large.folder, large.settings)

    assert not report.is_anything_lost
    with large.opened() as store:
        assert store.stats().revision == head == report.revision


def test_repairs_without_a_manifest_never_give_out_a_revision_twice(sample):
    """Each leaves a gap that only its manifest knows, and the manifests are lost."""
    given_out = set()
    for _ in range(3):
        with sample.opened() as store:
            revision = store.commit(Txn([Put("a", b"1")])).revision
        assert revision not in given_out
        given_out.add(revision)
        (sample.folder / "MANIFEST").unlink()
        (sample.folder / "COMMIT").unlink()
        sample.active.unlink()
        if not list(sample.folder.glob("*.log")):
            break
        repair(sample.folder, sample.settings)


@pytest.fixture
def sample(folder: Path) -> Sample:
    """A short log in two segments."""
    sample = Sample(
        folder / "data", StoreSettings(segment_records_max=4, keep_for_s=0, keep_versions=1)
    )
    fill(sample)
    return sample
