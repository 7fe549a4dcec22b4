"""Test that a deleted key stays deleted through rolls, compactions and rebuilt indexes.

Two keys are written and deleted in four segments in every possible order. Then every choice of
segments is compacted, once or twice. After each step the test reads the store through its index,
and again through one that is rebuilt from the log: no deleted value returns, and none is lost.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import random
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest

from rundlet_server.storage.care import repair
from rundlet_server.storage.interface import Delete, Op, Put, Txn
from rundlet_server.storage.log.format.manifest import SegmentState, read_manifest, write_manifest
from rundlet_server.storage.log.maintain import compaction
from rundlet_server.storage.log.open.orphans import remove_orphans
from rundlet_server.storage.log.store import LogStore
from rundlet_server.storage.opening import open_log_store
from rundlet_server.storage.settings import StoreSettings
from tests.support.disks.unsynced_files import UnsyncedFiles
from tests.support.models.model import Clock

FILES = UnsyncedFiles()
SEGMENTS = 4
SUBSETS = list(itertools.product([False, True], repeat=SEGMENTS))

# What one segment may hold: nothing of a key, a value, a deletion, or both in either order.
STEPS: list[list[Op]] = [
    [],
    [Put("a", b"")],
    [Delete("a")],
    [Put("a", b""), Delete("a")],
    [Delete("a"), Put("a", b"")],
]
LIVES = list(itertools.product(STEPS, repeat=SEGMENTS))
PLAIN_LIVES = list(itertools.product(STEPS[:3], repeat=SEGMENTS))


class Died(Exception):
    """The process ends here."""


class DyingFiles(UnsyncedFiles):
    """Files of a process that dies when it has removed a number of them."""

    def __init__(self, count: int) -> None:
        self._left = count

    def unlink(self, path: Path) -> None:
        if not self._left:
            raise Died
        self._left -= 1
        super().unlink(path)


def open_folder(folder: Path, *, keep_for_s: float = 0) -> LogStore:
    # Nothing is sealed, indexed or compacted unless the test says so.
    settings = StoreSettings(
        keep_for_s=keep_for_s, keep_versions=1, files=FILES, clock=Clock(), maintain_inline=False
    )
    return open_log_store(folder, settings)


def contents(store: LogStore) -> dict[str, bytes]:
    page = store.scan(include_values=True)
    found = {info.key: info.entry.value for info in page.keys if info.entry}
    assert store.stats().key_count == len(found)
    for key in ("a", "b"):
        entry = store.get(key)
        assert found.get(key) == (entry.value if entry else None)
    return found


def rebuilt_contents(folder: Path) -> dict[str, bytes]:
    """What the log says without any index file."""
    copy = folder.with_name("rebuilt")
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(folder, copy)
    for path in copy.glob("*.idx"):
        path.unlink()
    manifest = read_manifest(FILES, copy)
    segments = tuple(dataclasses.replace(state, is_indexed=False) for state in manifest.segments)
    write_manifest(FILES, copy, dataclasses.replace(manifest, segments=segments, indexes=()))
    store = open_folder(copy)
    found = contents(store)
    store.close()
    return found


def write_segments(store: LogStore, lives: Sequence[Sequence[Sequence[Op]]]) -> dict[str, bytes]:
    """Write one life per key, a segment of each at a time; returns what is left at the end."""
    left: dict[str, bytes] = {}
    for number in range(SEGMENTS):
        # A value of its own, so that no segment is empty and each can be told apart.
        ops: list[Op] = [Put(f"segment {number}", b"")]
        for name, life in zip("ab", lives, strict=False):
            ops += [dataclasses.replace(op, key=name) for op in life[number]]
        for count, op in enumerate(ops):
            if isinstance(op, Put):
                op = dataclasses.replace(op, value=b"%d.%d" % (number, count))  # noqa: PLW2901 -- the values tell the writes apart
                left[op.key] = op.value
            else:
                left.pop(op.key, None)
            store.commit(Txn([op]))
        store._writer.seal()
    return left


class ChosenSegments:
    """Stands in for the choice by dead bytes: the segments of a subset, adjacent ones as a run."""

    def __init__(self, subset: Sequence[bool]) -> None:
        self.subset = subset

    def __call__(self, usages: Sequence[compaction._Usage], *_: object) -> list[list[SegmentState]]:
        chosen = zip(usages, itertools.chain(self.subset, itertools.repeat(False)), strict=False)
        return [
            [usage.state for usage, _ in run]
            for is_chosen, run in itertools.groupby(chosen, lambda pair: pair[1])
            if is_chosen
        ]


def compact(store: LogStore, subset: Sequence[bool], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compaction, "_choose", ChosenSegments(subset))
    store.maintainer.compact(thorough=False)


def seeded_sample(count: int, seed: int) -> list[tuple[object, ...]]:
    """Some of all pairs of lives with pairs of subsets; the seed replays them."""
    chosen = random.Random(seed)
    return [
        (
            chosen.choice(LIVES),
            chosen.choice(LIVES),
            chosen.choice(SUBSETS),
            chosen.choice(SUBSETS),
        )
        for _ in range(count)
    ]


def test_no_compaction_of_one_key_s_segments_brings_back_or_loses_it(tmp_path, monkeypatch):
    """All lives of a key with one write a segment, each with two subsets one after the other."""
    for number, life in enumerate(PLAIN_LIVES):
        folder = tmp_path / str(number)
        store = open_folder(folder)
        expected = write_segments(store, [life])
        for subset in (SUBSETS[number % 16], SUBSETS[(number // 16 + 5 * number) % 16]):
            compact(store, subset, monkeypatch)
            assert contents(store) == expected, (life, subset)
            assert rebuilt_contents(folder) == expected, (life, subset)
        store.close()
        shutil.rmtree(folder)


@pytest.mark.parametrize("keep_for_s", [0, 3_600])
@pytest.mark.parametrize("seed", range(3))
def test_no_two_compactions_in_a_row_bring_back_or_lose_either_of_two_keys(
    tmp_path, monkeypatch, seed, keep_for_s
):
    for number, (first, second, subset, next_subset) in enumerate(seeded_sample(30, seed)):
        folder = tmp_path / str(number)
        store = open_folder(folder, keep_for_s=keep_for_s)
        expected = write_segments(store, [first, second])
        compact(store, subset, monkeypatch)
        assert contents(store) == rebuilt_contents(folder) == expected
        store.commit(Txn([Delete("a"), Put("b", b"later")]))
        expected.pop("a", None)
        expected["b"] = b"later"
        store._writer.seal()
        compact(store, next_subset, monkeypatch)
        assert contents(store) == rebuilt_contents(folder) == expected
        store.close()
        store = open_folder(folder)
        compact(store, (True,) * SEGMENTS, monkeypatch)
        assert contents(store) == rebuilt_contents(folder) == expected
        store.close()
        shutil.rmtree(folder)


def test_a_tombstone_goes_once_nothing_older_can_hold_its_key(tmp_path, monkeypatch):
    store = open_folder(tmp_path / "data")
    store.commit(Txn([Put("a", b"value")]))
    store._writer.seal()
    store.commit(Txn([Delete("a")]))
    store._writer.seal()
    compact(store, (False, True), monkeypatch)
    assert rebuilt_contents(tmp_path / "data") == {}
    assert [version.kind for version in store.history("a").versions] == ["delete"]
    compact(store, (True, False), monkeypatch)
    compact(store, (True, True), monkeypatch)

    assert store.history("a").versions == []
    assert store.gauges()["segments"].value == 1
    assert rebuilt_contents(tmp_path / "data") == contents(store) == {}
    store.close()


def test_removing_what_a_compaction_left_brings_nothing_back_wherever_it_stops(
    tmp_path, monkeypatch
):
    """The inputs of a compaction are still there, and so is the deleted value in the first."""
    folder = tmp_path / "data"
    with contextlib.closing(open_folder(folder)) as store:
        store.commit(Txn([Put("a", b"deleted")]))
        store._writer.seal()
        store.commit(Txn([Delete("a"), Put("b", b"kept")]))
        store._writer.seal()
        inputs = {path: path.read_bytes() for path in folder.glob("*.log")}
        compact(store, (True, True), monkeypatch)
        compact(store, (True, True), monkeypatch)
    gone = [path for path in inputs if not path.exists()]
    for path in gone:
        path.write_bytes(inputs[path])
    assert len(gone) == 2

    for count in range(len(gone) + 1):
        copy = tmp_path / f"stopped-{count}"
        shutil.copytree(folder, copy)
        with contextlib.suppress(Died):
            remove_orphans(DyingFiles(count), copy, read_manifest(FILES, copy))
        (copy / "MANIFEST").unlink()
        repair(copy)
        with contextlib.closing(open_folder(copy)) as store:
            assert contents(store) == {"b": b"kept"}, f"stopped behind {count} files"
