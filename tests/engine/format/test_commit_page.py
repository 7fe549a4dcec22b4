"""Test the death of a process between any two writes to the commit page."""

from __future__ import annotations

import contextlib
import itertools
from pathlib import Path

import pytest

from rundlet_server.storage.care import verify
from rundlet_server.storage.interface import Add, Delete, Put, Txn
from rundlet_server.storage.log.format.commit_page import CommitPage
from rundlet_server.storage.log.store import LogStore
from rundlet_server.storage.opening import open_log_store
from rundlet_server.storage.settings import StoreSettings
from tests.support.disks.unsynced_files import UnsyncedFiles


class Died(BaseException):
    """The process ended here: nothing behind this line was done."""


class DyingWords:
    """The words of the page, of a process that dies when it is about to store the n-th."""

    def __init__(self, words: memoryview, stores_left: int) -> None:
        self._words = words
        self.stores_left = stores_left

    def __getitem__(self, word: int) -> int:
        return self._words[word]

    def __setitem__(self, word: int, value: int) -> None:
        if self.stores_left <= 0:
            raise Died
        self.stores_left -= 1
        self._words[word] = value

    def release(self) -> None:
        self._words.release()


def open_one(folder: Path, boot_id: int = 1) -> LogStore:
    settings = StoreSettings(
        keep_for_s=0, keep_versions=1, segment_records_max=3, files=UnsyncedFiles(), boot_id=boot_id
    )
    return open_log_store(folder, settings)


def contents(store: LogStore) -> dict[str, bytes]:
    page = store.scan(include_values=True)
    found = {info.key: info.entry.value for info in page.keys if info.entry}
    assert store.stats().key_count == len(found)
    entries = [store.get(key) for key in found]
    assert [entry and entry.value for entry in entries] == list(found.values())
    return found


def work(store: LogStore, done: list[str]) -> None:
    """Commits, rolls, checkpoints, merges and a compaction; notes what was answered."""
    for number in range(8):
        store.commit(Txn([Put(f"k{number % 3}", b"%d" % number), Add("count", 1)]))
        done.append("commit")
    store.maintainer.compact(thorough=True)
    store.commit(Txn([Delete("k0"), Add("count", 1)]))
    done.append("commit")


def state_after(commits: int) -> dict[str, bytes]:
    state = {f"k{number % 3}": b"%d" % number for number in range(min(commits, 8))}
    if commits:
        state["count"] = b"%d" % commits
    if commits == 9:
        del state["k0"]
    return state


def assert_goes_on(folder: Path, store: LogStore, commits: int) -> None:
    """The last commit may have happened or not; everything before it did, and all goes on."""
    now = contents(store)
    assert now in (state_after(commits), state_after(commits + 1))
    store.commit(Txn([Put("later", b"1")]))
    now["later"] = b"1"
    assert contents(store) == now
    newcomer = open_one(folder)
    assert contents(newcomer) == now
    store.maintainer.compact(thorough=True)
    newcomer.commit(Txn([Put("later", b"2")]))
    now["later"] = b"2"
    assert contents(store) == contents(newcomer) == now
    newcomer.close()
    store.close()
    assert verify(folder).problems == []


def test_a_generation_that_was_lost_is_put_right_by_the_next_commit(tmp_path):
    store, other = open_one(tmp_path), open_one(tmp_path)
    store.maintainer.compact(thorough=True)
    store.commit(Txn([Put("a", b"1")]))
    store._parts.commit_page.generation = 0
    store.commit(Txn([Put("b", b"2")]))

    assert store._parts.commit_page.generation == store._follower.view.manifest.generation > 0
    assert contents(other) == {"a": b"1", "b": b"2"}
    other.close()
    store.close()


def test_a_process_that_dies_between_two_stores_is_not_noticed_by_others(tmp_path):
    for stores in itertools.count():
        folder = tmp_path / str(stores)
        dying, other = open_one(folder), open_one(folder)
        words = DyingWords(dying._parts.commit_page.words, stores)
        dying._parts.commit_page.words = dying._follower._words = words
        done: list[str] = []
        with contextlib.suppress(Died):
            work(dying, done)
        has_survived = words.stores_left > 0
        words.stores_left = 1_000_000  # for its thread, which only reads
        dying.close()

        assert_goes_on(folder, other, len(done))
        if has_survived:
            break
    assert stores > 50


def test_a_power_cut_after_a_writer_died_is_no_damage(tmp_path):
    """What the page says is durable must still be there after the next writer has cut it."""
    for stores in itertools.count():
        folder = tmp_path / str(stores)
        dying, other = open_one(folder), open_one(folder)
        words = DyingWords(dying._parts.commit_page.words, stores)
        dying._parts.commit_page.words = dying._follower._words = words
        with contextlib.suppress(Died):
            dying.commit(Txn([Put("large", bytes(2_000))]))
        has_survived = words.stores_left > 0
        words.stores_left = 1_000_000
        dying.close()
        other.commit(Txn([Delete("missing")]))  # cuts what the dead writer left, writes nothing
        expected = contents(other)
        other.close()

        restarted = open_one(folder, boot_id=2)
        assert contents(restarted) == expected
        restarted.close()
        if has_survived:
            break


@pytest.mark.parametrize("boot_id", [1, 2])
def test_a_process_that_dies_while_it_opens_a_store_leaves_it_to_the_next(
    tmp_path, monkeypatch, boot_id
):
    """With the page of this boot (it has nothing to store then), of another, and none."""
    open_page = CommitPage.open
    for stores in itertools.count():
        folder = tmp_path / str(stores)
        store = open_one(folder)
        work(store, [])
        store.close()
        opened = []

        def open_dying(files, folder, boot_id, stores=stores, opened=opened):
            page = open_page(files, folder, boot_id)
            page.words = DyingWords(page.words, stores)
            opened.append(page.words)
            return page

        monkeypatch.setattr(CommitPage, "open", open_dying)
        with contextlib.suppress(Died):
            open_one(folder, boot_id=boot_id).close()
        monkeypatch.undo()

        assert_goes_on(folder, open_one(folder, boot_id=boot_id), 9)
        if opened[0].stores_left > 0:
            break
