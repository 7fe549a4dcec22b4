"""Test the times of commits: in memory, in files beside the segments, and without them."""

from __future__ import annotations

import random
from bisect import bisect_right
from contextlib import closing

import pytest

from rundlet_server.storage.errors import Compacted, Damaged, UnknownFormat
from rundlet_server.storage.interface import Delete, Put, Txn
from rundlet_server.storage.log.check.verify import verify
from rundlet_server.storage.log.format import times_file
from rundlet_server.storage.log.format.commit_times import CommitPlace, CommitTimes
from rundlet_server.storage.log.format.segment import SegmentHeader
from rundlet_server.storage.log.format.times_file import read_times, write_times
from rundlet_server.storage.log.read.sealed_times import SealedTimes
from rundlet_server.storage.log.read.times import place_of, time_at
from rundlet_server.storage.log.repair.run import repair
from rundlet_server.storage.opening import open_log_store
from rundlet_server.storage.settings import StoreSettings
from rundlet_server.storage.timeline import Moment
from tests.support.backends import do, put
from tests.support.disks.unsynced_files import UnsyncedFiles
from tests.support.models.model import START_US

HEADER = SegmentHeader(1, 7, bytes(16), 0xABCD)
COMMITS = [CommitPlace(3, 1_000, 64), CommitPlace(5, 1_000, 128), CommitPlace(9, 2_000, 264)]


@pytest.fixture
def written(tmp_path):
    times = CommitTimes()
    times.add(COMMITS)
    write_times(UnsyncedFiles(), tmp_path, HEADER, times)
    return tmp_path / "0000000007.tim"


def test_commits_come_back_from_their_file(written):
    times = read_times(UnsyncedFiles(), written.parent, HEADER)

    assert [times.first_above(revision) for revision in (2, 3, 8, 9)] == [*COMMITS, None]
    assert [times.newest_at(revision) for revision in (2, 4, 5, 99)] == [None, *COMMITS]
    assert [times.newest_by(time_us) for time_us in (999, 1_000, 2_000)] == [None, *COMMITS[1:]]
    assert [times.time_of(revision) for revision in (3, 4, 9, 10)] == [1_000, None, 2_000, None]


def test_a_file_is_a_header_and_three_columns_under_one_checksum(written):
    assert written.read_bytes()[:-4].hex(" ", 4) == (
        "524e444c 5454494d 01000000 03000000 07000000 00000000 cdab0000 00000000"
        " 03000000 00000000 05000000 00000000 09000000 00000000"
        " e8030000 00000000 e8030000 00000000 d0070000 00000000"
        " 08000000 10000000 21000000"
    )


def test_a_damaged_file_or_one_of_another_segment_is_refused(written):
    whole = written.read_bytes()
    for place in range(len(whole)):
        written.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        with pytest.raises(Damaged):
            read_times(UnsyncedFiles(), written.parent, HEADER)
        written.write_bytes(whole[:place])
        with pytest.raises(Damaged):
            read_times(UnsyncedFiles(), written.parent, HEADER)
    written.write_bytes(whole)
    with pytest.raises(Damaged):
        read_times(UnsyncedFiles(), written.parent, HEADER._replace(salt=1))


def test_a_file_of_a_later_format_is_refused_by_name(written, monkeypatch):
    monkeypatch.setattr(times_file, "FORMAT_VERSION", 99)

    with pytest.raises(UnknownFormat, match=r"0000000007\.tim"):
        read_times(UnsyncedFiles(), written.parent, HEADER)


def settings_of(clock, **others):
    options = {"files": UnsyncedFiles(), "clock": clock, "maintain_inline": False}
    return StoreSettings(**(options | {"segment_records_max": 8} | others))


def filled(folder, clock, seed=1, **others):
    """A store with indexed, compacted, loaded and active segments, and its commits."""
    dice = random.Random(seed)
    store = open_log_store(folder, settings_of(clock, **others))
    commits = []

    def note(commit):
        if commit.revision > (commits[-1][0] if commits else 0):
            commits.append((commit.revision, clock.now_us))

    for step in range(120):
        clock.advance(dice.choice([0, 0, 1, 7]))
        keys = dice.sample("abcdefghij", dice.randrange(1, 4))
        note(store.commit(Txn([dice.choice([Put(key, b"v"), Delete(key)]) for key in keys])))
        if step in (30, 60):
            store.maintainer.compact(thorough=True)
        if step == 80:
            store.load([(b"loaded%d" % number, b"v", "text/plain") for number in range(20)])
            commits.append((store.stats().revision, clock.now_us))
        if step in (70, 100):
            store.maintainer.checkpoint()
    return store, commits


def check(store, commits):
    revisions = [revision for revision, _ in commits]
    times_us = [time_us for _, time_us in commits]
    oldest = store.stats().oldest_revision
    view = store._follower.refresh()
    for revision in range(oldest, revisions[-1] + 1):
        place = bisect_right(revisions, revision)
        assert time_at(view, revision) == (times_us[place - 1] if place else 0)
    between_us = [time_us + 500_000 for time_us in times_us if time_us < times_us[-1]]
    for time_us in {START_US, *times_us, *between_us}:
        place = bisect_right(times_us, time_us)
        revision = revisions[place - 1] if place else 0
        if revision < oldest:
            with pytest.raises(Compacted):
                store.moment(time_us)
        else:
            assert store.moment(time_us) == Moment(revision, time_us)


@pytest.mark.parametrize("keep_for_s", [0, 60, 3_600])
def test_every_revision_has_its_time_and_every_time_its_revision(tmp_path, clock, keep_for_s):
    store, commits = filled(tmp_path / "data", clock, keep_for_s=keep_for_s, keep_versions=1)
    check(store, commits)
    store.close()
    assert verify(tmp_path / "data").problems == []

    again = open_log_store(tmp_path / "data", settings_of(clock))
    check(again, commits)
    for path in (tmp_path / "data").glob("*.tim"):
        path.unlink()
    again.close()
    without = open_log_store(tmp_path / "data", settings_of(clock))
    check(without, commits)
    without.close()


def test_files_that_are_missing_are_made_again(tmp_path, clock):
    store, commits = filled(tmp_path / "data", clock)
    store.maintainer.compact(thorough=True)
    before = {path.name: path.read_bytes() for path in (tmp_path / "data").glob("*.tim")}
    assert before
    for path in (tmp_path / "data").glob("*.tim"):
        path.unlink()

    for _ in before:
        store.maintainer.checkpoint()

    after = {path.name: path.read_bytes() for path in (tmp_path / "data").glob("*.tim")}
    assert after == before
    check(store, commits)
    store.close()


def test_a_damaged_file_is_passed_over_reported_and_repaired(tmp_path, clock):
    store, commits = filled(tmp_path / "data", clock)
    store.maintainer.compact(thorough=True)
    store.close()
    path = min((tmp_path / "data").glob("*.tim"))
    data = bytearray(path.read_bytes())
    data[40] ^= 1
    path.write_bytes(data)

    store = open_log_store(tmp_path / "data", settings_of(clock))
    check(store, commits)
    store.close()
    [problem] = verify(tmp_path / "data").problems
    assert problem.path == path
    assert "remove the file" in problem.reason
    repair(tmp_path / "data", StoreSettings(clock=clock))
    assert verify(tmp_path / "data").problems == []


def test_files_of_segments_that_are_gone_are_orphans(tmp_path, clock):
    store, _ = filled(tmp_path / "data", clock, keep_for_s=0, keep_versions=1)
    stray = tmp_path / "data" / "0000009999.tim"
    stray.write_bytes(b"")
    store.maintainer.compact(thorough=True)

    assert not stray.exists()
    manifest = store._follower.refresh().manifest
    found = {int(path.stem) for path in (tmp_path / "data").glob("*.tim")}
    assert found == {state.number for state in manifest.segments if state.is_indexed}
    store.close()


def test_the_newest_commit_that_is_kept_has_its_time_though_its_record_is_gone(tmp_path, clock):
    store = open_log_store(tmp_path / "data", settings_of(clock, keep_for_s=0, keep_versions=1))
    put(store, "a")
    put(store, "kept")
    put(store, "expires", ttl_s=60)
    clock.advance(10)
    do(store, Delete("a"))
    deleted_us = clock.now_us
    store.maintainer.compact(thorough=True)
    assert store.stats().oldest_revision == 4
    clock.advance(100)
    store.maintainer.compact(thorough=True)
    do(store, Put("later", b""))
    oldest = store.stats().oldest_revision

    view = store._follower.refresh()
    assert oldest == 5
    assert time_at(view, oldest) == clock.now_us
    assert store.moment(clock.now_us).revision == 6
    with pytest.raises(Compacted) as refusal:
        store.moment(deleted_us)
    assert (refusal.value.oldest_revision, refusal.value.oldest_time_us) == (5, clock.now_us)
    store.close()


def test_a_moment_between_a_dropped_tombstone_and_the_next_commit_can_be_read(tmp_path, clock):
    store = open_log_store(tmp_path / "data", settings_of(clock, keep_for_s=0, keep_versions=1))
    put(store, "a")
    put(store, "kept")
    clock.advance(10)
    do(store, Delete("a"))
    store.maintainer.compact(thorough=True)
    clock.advance(10)
    put(store, "later")
    between_us = clock.now_us - 5_000_000

    assert store.moment(between_us) == Moment(3, between_us)
    assert store.scan(at=3).moment == Moment(3, between_us - 5_000_000)
    assert [info.key for info in store.scan(at=store.moment(between_us)).keys] == ["kept"]
    store.close()


def test_the_feed_finds_the_frame_of_the_next_commit(tmp_path, clock):
    store, commits = filled(tmp_path / "data", clock)
    view = store._follower.refresh()
    revisions = [revision for revision, _ in commits]

    for revision in range(revisions[-1] + 1):
        following = bisect_right(revisions, revision)
        place = place_of(view, revision)
        if following == len(revisions):
            assert place is None
            continue
        number, offset = place
        segment = view.segment(number)
        size = segment.file.size()
        frame = next(segment.frames(offset, size))
        assert any(int.from_bytes(data[16:24], "little") > revision for _, data in frame.records())
        assert frame.revision > revision
    store.close()


def test_memory_for_times_is_bounded(tmp_path, clock, monkeypatch):
    monkeypatch.setattr("rundlet_server.storage.log.read.sealed_times._MAPPED_MAX", 2)
    store, commits = filled(tmp_path / "data", clock)
    check(store, commits)

    times = store._follower.view.sealed_times
    assert isinstance(times, SealedTimes)
    assert len(times._mapped) <= 2
    store.close()


@pytest.mark.parametrize(
    "read",
    [
        lambda store: store.get("a", at=1),
        lambda store: store.scan(at=1),
        lambda store: store.changes(0),
        lambda store: store.hold(1).__enter__(),
    ],
    ids=["get", "scan", "changes", "hold"],
)
def test_what_is_gone_is_refused_although_compaction_moves_the_log_meanwhile(
    tmp_path, clock, monkeypatch, read
):
    """The error tells the time of the oldest commit, which is in a file of another view by then."""
    settings = settings_of(clock, keep_for_s=0, keep_versions=1)
    with (
        closing(open_log_store(tmp_path, settings)) as store,
        closing(open_log_store(tmp_path, settings)) as other,
    ):
        for _ in range(5):
            put(other, "a")
        other.maintainer.compact(thorough=True)
        put(other, "a")
        assert store._follower.refresh().manifest.oldest_revision == 5
        other.maintainer.compact(thorough=False)
        monkeypatch.setattr(store._follower, "refresh", lambda: store._follower.view)  # a bit ago

        with pytest.raises(Compacted):
            read(store)
