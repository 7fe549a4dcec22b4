"""What compaction of the log store keeps, and what it lets go."""

from __future__ import annotations

import pytest

from rundlet_server.storage.errors import Compacted, InvalidOperation
from rundlet_server.storage.interface import Delete, Restore
from rundlet_server.storage.opening import open_log_store
from rundlet_server.storage.settings import StoreSettings
from tests.support.backends import do, put, value
from tests.support.disks.unsynced_files import UnsyncedFiles


def test_compaction_keeps_what_was_visible_in_the_time_to_keep(tmp_path, clock):
    store = open_log_store(
        tmp_path, StoreSettings(files=UnsyncedFiles(), keep_for_s=60, keep_versions=1, clock=clock)
    )
    put(store, "a", b"1")
    put(store, "a", b"2")
    store.maintainer.compact(thorough=True)
    clock.advance(59)
    put(store, "a", b"3")
    store.maintainer.compact(thorough=True)

    assert [value(store, "a", at=revision) for revision in range(4)] == [None, b"1", b"2", b"3"]
    clock.advance(60)
    store.maintainer.compact(thorough=True)
    assert value(store, "a", at=3) == b"3"
    with pytest.raises(Compacted):
        store.get("a", at=1)
    store.close()


def test_the_horizon_itself_is_readable(tmp_path, clock):
    store = open_log_store(
        tmp_path, StoreSettings(files=UnsyncedFiles(), keep_for_s=60, keep_versions=1, clock=clock)
    )
    for number in (1, 2, 3):
        put(store, "a", b"%d" % number)
        store._writer.seal()
        clock.advance(10)
    clock.advance(45)  # the first value was replaced 65 seconds ago, the second one 55
    store.maintainer.compact(thorough=True)

    assert store.stats().oldest_revision == 2
    assert [value(store, "a", at=revision) for revision in (2, 3)] == [b"2", b"3"]
    with pytest.raises(Compacted):
        store.get("a", at=1)
    store.close()


@pytest.mark.parametrize("keep_versions", [1, 2])
def test_a_version_let_go_is_not_restored_from_an_earlier_life_of_the_key(
    tmp_path, clock, keep_versions
):
    settings = StoreSettings(
        files=UnsyncedFiles(), keep_for_s=0, keep_versions=keep_versions, clock=clock
    )
    store = open_log_store(tmp_path, settings)
    put(store, "a", b"earlier life")
    for number in range(20):
        put(store, f"k{number}")
    store._writer.seal()
    store.maintainer.checkpoint()
    do(store, Delete("a"))
    put(store, "a", b"1")
    store._writer.seal()
    store.maintainer.checkpoint()
    put(store, "a", b"2")
    put(store, "a", b"3")
    store._writer.seal()
    store.maintainer.checkpoint()  # merges the two small index files, not the large one

    assert store.gauges()["index_files"].value == 2
    assert [version.version for version in store.history("a").versions] == [3, 2][:keep_versions]
    with pytest.raises(InvalidOperation):
        do(store, Restore("a", 1))
    store.close()


def test_behind_the_horizon_only_the_newest_version_is_left(tmp_path, clock):
    settings = StoreSettings(files=UnsyncedFiles(), keep_for_s=0, keep_versions=1, clock=clock)
    store = open_log_store(tmp_path, settings)
    put(store, "a", b"1")
    put(store, "a", b"2")
    put(store, "b", b"3")
    do(store, Delete("b"))
    store.maintainer.compact(thorough=True)

    assert value(store, "a") == value(store, "a", at=4) == b"2"
    for revision in range(4):
        with pytest.raises(Compacted) as caught:
            store.get("a", at=revision)
        assert caught.value.oldest_revision == 4
    assert store.stats().oldest_revision == 4
    assert [version.revision for version in store.history("a").versions] == [2]
    assert store.history("b").versions == []
    store.close()
