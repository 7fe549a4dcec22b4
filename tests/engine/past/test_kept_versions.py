"""Test that the store keeps what its retention says, also after the retention was changed."""

from __future__ import annotations

import pytest

from rundlet_server.storage.errors import Compacted, InvalidOperation
from rundlet_server.storage.interface import Delete, Restore
from rundlet_server.storage.log.check.verify import verify
from rundlet_server.storage.log.format.manifest import read_manifest
from rundlet_server.storage.log.store import LogStore
from rundlet_server.storage.opening import open_log_store
from rundlet_server.storage.settings import StoreSettings
from rundlet_server.storage.timeline import Retention
from tests.support.backends import do, kinds, put, value
from tests.support.disks.unsynced_files import UnsyncedFiles

HOUR_S = 3_600.0


@pytest.fixture
def opened(tmp_path, clock):
    """Opens the store, with settings if wanted."""
    stores = []

    def open_one(**settings) -> LogStore:
        settings = StoreSettings(
            **({"files": UnsyncedFiles(), "clock": clock, "maintain_inline": False} | settings)
        )
        stores.append(open_log_store(tmp_path / "data", settings))
        return stores[-1]

    yield open_one
    for store in stores:
        store.close()
    assert verify(tmp_path / "data").problems == []


def versions(store, key="a"):
    return [line.version for line in store.history(key).versions]


def compacted(store, clock):
    clock.advance(2 * HOUR_S)
    store.maintainer.compact(thorough=True)


def test_a_new_store_keeps_ten_versions_and_everything_of_the_last_hour(opened, clock):
    store = opened()
    for number in range(20):
        put(store, "a", b"%d" % number)
    put(store, "gone")
    do(store, Delete("gone"))
    clock.advance(HOUR_S - 1)
    store.maintainer.compact(thorough=True)
    assert versions(store) == list(range(20, 0, -1))
    assert kinds(store, "gone") == ["delete", "put"]

    clock.advance(2)
    store.maintainer.compact(thorough=True)

    assert versions(store) == list(range(20, 10, -1))
    assert kinds(store, "gone") == []


def test_settings_that_are_given_set_the_retention_and_others_leave_it(opened):
    opened(keep_versions=3).close()
    assert opened().retention() == Retention(3, HOUR_S)
    assert opened(keep_for_s=5).retention() == Retention(3, 5.0)
    assert opened(keep_versions=4, is_read_only=True).retention() == Retention(3, 5.0)


def test_versions_that_came_to_be_kept_are_shown_without_a_gap(opened, clock):
    """Index files are merged a few at a time: the oldest still has what others have dropped."""
    store = opened()
    store.retain(Retention(1, 0))
    for number in range(2):
        put(store, "a", b"%d" % number)
    for number in range(500):
        put(store, f"other{number}")
    store._writer.seal()
    store.maintainer.checkpoint()  # a large index file with versions 1 and 2
    for number in range(2, 5):
        put(store, "a", b"%d" % number)
        store._writer.seal()
        store.maintainer.checkpoint()  # small ones, which are merged
    assert len(store._follower.refresh().indexes) == 2
    assert versions(store) == [5]

    store.retain(Retention(10, HOUR_S))

    assert versions(store) == [5]
    put(store, "a", b"5")
    assert versions(store) == [6, 5]
    compacted(store, clock)
    assert versions(store) == [6, 5]


def test_retention_that_is_lowered_and_raised_again_never_shows_a_gap(opened, clock):
    store = opened()
    for number in range(10):
        put(store, "a", b"%d" % number)
    store.retain(Retention(2, HOUR_S))
    store.retain(Retention(10, HOUR_S))
    compacted(store, clock)
    assert versions(store) == list(range(10, 0, -1))

    store.retain(Retention(2, HOUR_S))
    compacted(store, clock)
    store.retain(Retention(10, 2 * HOUR_S))

    assert versions(store) == [10, 9]
    with pytest.raises(Compacted):
        store.get("a", at=9)
    put(store, "a", b"10")
    compacted(store, clock)
    assert versions(store) == [11, 10, 9]


def test_earlier_lives_of_a_key_are_kept_by_time_alone(opened, clock):
    store = opened()
    put(store, "a", b"1")
    put(store, "a", b"2")
    do(store, Delete("a"))
    put(store, "a", b"3")
    assert versions(store) == [1, 0, 2, 1]
    compacted(store, clock)
    put(store, "b")
    do(store, Delete("b"))
    compacted(store, clock)

    assert versions(store) == [1]


def test_a_pass_keeps_what_the_store_was_told_to_keep_while_it_ran(opened, clock):
    store = opened()
    store.retain(Retention(1, 0))
    for number in range(5):
        put(store, "a", b"%d" % number)
    change_manifest = store._writer.change_manifest
    calls = []

    def raised_meanwhile(change):
        calls.append(change)
        if len(calls) == 2:  # first it gives out numbers of segments, then it installs the outcome
            change_manifest(lambda manifest: manifest.changed(retention=Retention(3, 0)))
        return change_manifest(change)

    store.maintainer._compactor._writer = Changing(store._writer, raised_meanwhile)

    store.maintainer.compact(thorough=True)

    assert len(calls) == 4
    assert versions(store) == [5, 4, 3]


class Changing:
    """A writer whose manifest is changed in another way."""

    def __init__(self, writer, change_manifest):
        self._writer = writer
        self.change_manifest = change_manifest

    def __getattr__(self, name):
        return getattr(self._writer, name)


def test_the_oldest_revision_is_the_head_of_an_hour_ago_exactly(opened, clock, tmp_path):
    store = opened()
    for number in range(200):
        put(store, "a", b"%d" % number)
        clock.advance(60)

    store.maintainer.compact(thorough=True)

    then_us = clock.now_us - int(HOUR_S * 1e6)
    oldest = store.moment(then_us).revision
    assert store.stats().oldest_revision == oldest == 141
    manifest = read_manifest(UnsyncedFiles(), tmp_path / "data")
    assert manifest.oldest_time_us == store.get("a", at=oldest).time_us
    assert value(store, "a", at=oldest) == b"140"
    with pytest.raises(Compacted):
        store.get("a", at=oldest - 1)
    with pytest.raises(Compacted):
        store.moment(then_us - 60_000_000)


def test_a_version_that_is_no_longer_kept_is_compacted_and_not_missing(opened, clock):
    store = opened(keep_versions=2)
    for number in range(5):
        put(store, "a", b"%d" % number)
        put(store, "deleted")
    do(store, Delete("deleted"))
    clock.advance(1)
    put(store, "kept by an hour")
    compacted(store, clock)

    for key, version in (("a", 3), ("a", 1)):
        with pytest.raises(Compacted) as refusal:
            store.get_version(key, version)
        assert refusal.value.oldest_revision == store.stats().oldest_revision
        with pytest.raises(InvalidOperation, match="not kept"):
            do(store, Restore(key, version))
    assert store.get_version("a", 4).value == b"3"
    assert store.get_version("a", 6) is None
    assert store.get_version("deleted", 1) is None


def test_versions_beyond_the_oldest_revision_are_restored_by_version_and_by_revision(opened, clock):
    store = opened(keep_versions=3)
    revisions = [put(store, "a", b"%d" % number).revision for number in range(6)]
    compacted(store, clock)
    oldest = store.stats().oldest_revision
    assert revisions[3] < oldest

    for op, expected in ((Restore("a", 4), b"3"), (Restore("a", revision=revisions[4]), b"4")):
        store.retain(Retention(9, HOUR_S))
        do(store, op)
        assert value(store, "a") == expected
    with pytest.raises(InvalidOperation, match="no longer kept"):
        do(store, Restore("a", revision=revisions[2]))
