"""Test that a revision that is held stays readable, and that a dead owner holds nothing."""

from __future__ import annotations

import os
import signal

import pytest

from rundlet_server.storage.errors import Compacted, InvalidRequest
from rundlet_server.storage.opening import open_log_store
from rundlet_server.storage.settings import StoreSettings
from tests.support.backends import put, value
from tests.support.disks.unsynced_files import UnsyncedFiles


@pytest.fixture
def opened(tmp_path, clock):
    """Opens the store: it keeps nothing but the newest values."""
    stores = []

    def open_one(**settings):
        options = {"files": UnsyncedFiles(), "clock": clock, "maintain_inline": False}
        options |= {"keep_for_s": 0, "keep_versions": 1}
        stores.append(open_log_store(tmp_path / "data", StoreSettings(**(options | settings))))
        return stores[-1]

    yield open_one
    for store in stores:
        store.close()


def overwritten(store, count=5):
    for number in range(count):
        put(store, "a", b"%d" % number)
        store.maintainer.compact(thorough=True)


def test_a_revision_that_is_held_stays_readable_for_all(opened):
    store, other = opened(), opened()
    put(store, "a", b"held")
    with store.hold(1):
        overwritten(other)
        assert value(store, "a", at=1) == value(other, "a", at=1) == b"held"
        assert other.stats().oldest_revision <= 1
    overwritten(other)

    with pytest.raises(Compacted):
        store.get("a", at=1)


def test_the_lowest_of_many_holds_counts(opened):
    store = opened()
    overwritten(store, 2)
    put(store, "a", b"low")
    low = store.stats().revision
    put(store, "a", b"high")
    high = store.stats().revision

    with store.hold(high):
        with store.hold(low):
            overwritten(store)
            assert value(store, "a", at=low) == b"low"
        overwritten(store)
        assert value(store, "a", at=high) == b"high"
        with pytest.raises(Compacted):
            store.get("a", at=low)


def test_a_revision_that_is_gone_or_has_not_come_cannot_be_held(opened, tmp_path):
    store = opened()
    overwritten(store)

    for revision, error in ((1, Compacted), (99, InvalidRequest)):
        with pytest.raises(error), store.hold(revision):
            pass
    store.maintainer.compact(thorough=True)
    assert list((tmp_path / "data" / "holds").iterdir()) == []


def test_a_hold_that_is_taken_while_a_pass_runs_is_kept(opened):
    store, other = opened(), opened()
    put(store, "a", b"1")
    put(store, "a", b"2")
    put(store, "a", b"3")
    taken = []
    checkpointer = store.maintainer._checkpointer
    write = checkpointer.write

    def hold_meanwhile(*arguments):
        if not taken:
            taken.append(other.hold(2))
            taken[0].__enter__()
        return write(*arguments)

    checkpointer.checkpoint()
    store._writer.seal()
    checkpointer.checkpoint()
    checkpointer.write = hold_meanwhile
    store.maintainer.compact(thorough=True)

    # A store that was open before may still have the view from before the pass.
    assert value(opened(), "a", at=2) == b"2"
    taken[0].__exit__(None, None, None)


def test_a_dead_owner_holds_nothing(opened, tmp_path):
    store = opened()
    put(store, "a", b"1")
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            held = opened().hold(1)
            held.__enter__()
            os.write(writer, b"!")
            signal.pause()
        finally:
            os._exit(1)
    assert os.read(reader, 1) == b"!"
    overwritten(store)
    assert value(store, "a", at=1) == b"1"
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    os.close(reader)
    os.close(writer)

    overwritten(store)

    with pytest.raises(Compacted):
        store.get("a", at=1)
    assert list((tmp_path / "data" / "holds").iterdir()) == []


def test_a_store_that_is_read_only_holds_nothing(opened, tmp_path):
    store = opened()
    put(store, "a", b"1")
    with opened(is_read_only=True).hold(1):
        assert not (tmp_path / "data" / "holds").exists()


def test_a_full_disk_keeps_no_read_from_going_on(opened, monkeypatch):
    store = opened()
    put(store, "a", b"1")

    def refuse(self, path):
        raise OSError(28, "no space")

    monkeypatch.setattr(UnsyncedFiles, "make_folder", refuse)
    with store.hold(1):
        assert value(store, "a", at=1) == b"1"
