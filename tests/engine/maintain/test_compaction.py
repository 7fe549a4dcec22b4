"""Test that compaction copies live records byte for byte, and no damaged ones."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from rundlet_server.storage.care import verify
from rundlet_server.storage.errors import Damaged
from rundlet_server.storage.interface import Delete, Op, Put, Txn
from rundlet_server.storage.log.format.names import segment_name
from rundlet_server.storage.log.format.segment import HEADER_SIZE
from rundlet_server.storage.log.index.columns import Columns
from rundlet_server.storage.log.maintain import rewrite
from rundlet_server.storage.log.maintain.rewrite import Rewrite
from rundlet_server.storage.log.store import LogStore
from rundlet_server.storage.opening import open_log_store
from rundlet_server.storage.settings import StoreSettings
from tests.support.disks.unsynced_files import UnsyncedFiles

SETTINGS = StoreSettings(
    keep_for_s=0, keep_versions=1, maintain_inline=False, cache_bytes_max=0, files=UnsyncedFiles()
)
COMMITS = 120


def write_commits(store: LogStore, *, large: int, seed: int) -> dict[str, bytes]:
    """Transactions of one to nine writes of few keys; values of up to ``large`` bytes."""
    dice = random.Random(seed)
    left: dict[str, bytes] = {}
    for number in range(COMMITS):
        names = dice.sample([f"key {name}" for name in range(40)], dice.randint(1, 9))
        ops: list[Op] = []
        for name in names:
            if dice.random() < 0.2:
                ops.append(Delete(name))
                left.pop(name, None)
            else:
                left[name] = dice.randbytes(dice.choice([0, 1, 50, dice.randrange(large)]))
                ops.append(Put(name, left[name], dice.choice(["text/html", "text/x-rare"])))
        store.commit(Txn(ops))
        if number % 50 == 49:
            store._writer.seal()
    return left


def contents(store: LogStore) -> dict[str, bytes]:
    page = store.scan(include_values=True)
    return {info.key: info.entry.value for info in page.keys if info.entry}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[LogStore]:
    with closing(open_log_store(tmp_path / "data", SETTINGS)) as opened:
        yield opened


@pytest.mark.parametrize("large", [300, 400_000])
@pytest.mark.parametrize("stretch_bytes", [1, 5_000, 512 * 1024])
@pytest.mark.parametrize("seed", range(2))
def test_what_is_live_is_copied_as_it_is(tmp_path, monkeypatch, large, stretch_bytes, seed):
    monkeypatch.setattr(rewrite, "_STRETCH_BYTES", stretch_bytes)
    settings = dataclasses.replace(SETTINGS, segment_bytes_max=max(20_000, 10 * large))
    with closing(open_log_store(tmp_path / "data", settings)) as store:
        expected = write_commits(store, large=large, seed=seed)
        before = {name: store.get(name) for name in expected}
        for _ in range(2):
            store.maintainer.compact(thorough=True)
            assert contents(store) == expected
            assert {name: store.get(name) for name in expected} == before

    assert verify(tmp_path / "data", settings).problems == []


def test_the_records_of_a_transaction_stay_together(store, monkeypatch):
    monkeypatch.setattr(rewrite, "_STRETCH_BYTES", 1)
    for number in range(10):
        store.commit(Txn([Put(f"{number} {name}", b"value") for name in "abcde"]))
    store.commit(Txn([Delete("0 a"), Put("3 b", b"new")]))
    store.maintainer.compact(thorough=True)
    view = store._follower.refresh()
    (state, _) = view.manifest.segments

    counts = [
        frame.record_count for frame in view.segment(state.number).frames(HEADER_SIZE, state.size)
    ]

    assert counts == [4, 5, 5, 4, 5, 5, 5, 5, 5, 5, 1]


def test_damage_anywhere_in_a_segment_stops_its_compaction(store, tmp_path):
    """Of the dead, too: what is damaged may not be what it seems."""
    expected = write_commits(store, large=100, seed=3)
    store._writer.seal()
    store.maintainer.checkpoint()
    manifest = store._follower.refresh().manifest
    state = manifest.segments[0]
    path = tmp_path / "data" / segment_name(state.number)
    whole = path.read_bytes()
    dice = random.Random(4)
    for offset in dice.sample(range(HEADER_SIZE, state.size), 60):
        with path.open("r+b") as file:
            file.seek(offset)
            file.write(bytes([whole[offset] ^ 1 << dice.randrange(8)]))

        with pytest.raises(Damaged) as caught:
            store.maintainer.compact(thorough=True)

        assert caught.value.path == path
        assert caught.value.offset <= offset
        path.write_bytes(whole)
        now = store._follower.refresh().manifest
        assert (now.segments[:-1], now.indexes) == (manifest.segments[:-1], manifest.indexes)
    store.maintainer.compact(thorough=True)
    assert contents(store) == expected


def shifted(column: str, by: int) -> object:
    """Moves one field of one row."""

    def change(columns: Columns, row: int) -> None:
        columns.rows[column][row] = int(columns.rows[column][row]) + by

    return change


@pytest.mark.parametrize(
    "change",
    [
        shifted("position", 1),
        shifted("position", -1),
        shifted("position", 8),
        shifted("position", 1 << 30),
        shifted("size", 1),
        shifted("size", -1),
        shifted("size", 1 << 20),
        shifted("size", -40),
        shifted("revision", 1),
    ],
)
def test_an_index_that_is_wrong_copies_nothing_wrong(store, tmp_path, change):
    write_commits(store, large=100, seed=5)
    store._writer.seal()
    store.maintainer.checkpoint()
    view = store._follower.refresh()
    state = view.manifest.segments[0]
    merged = store.maintainer._checkpointer.merged(view.indexes)
    is_there = merged.rows["position"][:-1] >> np.uint64(40) == state.number
    for row in np.flatnonzero(is_there).tolist():
        columns = dataclasses.replace(merged, rows=merged.rows.copy())
        change(columns, row)

        with pytest.raises(Damaged, match=r"there is no record here|not the record"):
            Rewrite(SETTINGS.files, tmp_path, view, columns).run([[state]], 99, 1 << 20)
