"""Test index columns and index files against a plain dict, with unusual keys."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rundlet_server.storage.interface import Put, Txn
from rundlet_server.storage.log.format.locator import Locator, pack_position
from rundlet_server.storage.log.format.record import DELETE, OVERHEAD, PUT
from rundlet_server.storage.log.index import columns as index_columns
from rundlet_server.storage.log.index.columns import TYPE_IN_RECORD, Columns
from rundlet_server.storage.log.index.delta import Delta
from rundlet_server.storage.log.index.file import IndexFile
from rundlet_server.storage.log.index.writer import write_index
from rundlet_server.storage.opening import open_log_store
from rundlet_server.storage.settings import StoreSettings
from tests.support.disks.unsynced_files import UnsyncedFiles

AWKWARD_KEYS = [
    b"\0",
    b"\0\0",
    b"a",
    b"a\0",
    b"a\0\0",
    b"a\0b",
    b"aaaaaaaa",
    b"aaaaaaaa\0",
    b"aaaaaaaab",
    b"aaaaaaaaaaaaaaaa",
    b"aaaaaaaaaaaaaaaaa",
    "é".encode(),
    "\U0010ffff".encode(),
    b"\x7f",
    b"k" * 2_048,
    b"k" * 2_047,
    b"k" * 2_047 + b"l",
]

Versions = dict[bytes, list[Locator]]
"""Locators of each key, newest first: what an index is compared with."""

keys = st.sampled_from(AWKWARD_KEYS) | st.text("ab\0é", min_size=1, max_size=12).map(str.encode)


@st.composite
def generations(draw: st.DrawFn) -> list[Versions]:
    """What several deltas hold, oldest first; revisions rise from one to the next."""
    revision = 0
    drawn = []
    for _ in range(draw(st.integers(1, 4))):
        versions: Versions = {}
        for key in draw(st.lists(keys, max_size=12)):
            revision += 1
            versions.setdefault(key, []).insert(0, draw(locators(revision, key)))
        drawn.append(versions)
    return drawn


@st.composite
def locators(draw: st.DrawFn, revision: int, key: bytes) -> Locator:
    value_size = draw(st.integers(0, 1_000))
    meta_size = draw(st.sampled_from([0, 0, 11, 214, 240, 256, 2_400]))
    return Locator(
        revision,
        pack_position(draw(st.integers(1, 1 << 24 - 1)), 8 * revision),
        OVERHEAD + len(key) + meta_size + value_size,
        value_size,
        draw(st.integers(0, (1 << 32) - 1)),
        draw(st.sampled_from([PUT, PUT, DELETE])),
        draw(st.sampled_from(["text/css", "text/html", "x/" + "y" * 198])),
        draw(st.sampled_from([0, 0, 1, (1 << 63)])),
    )


def delta_of(versions: Versions) -> Delta:
    """Filled in the order of revisions, as a follower does it."""
    delta = Delta(1, 64)
    rows = [(locator, key) for key, locators in versions.items() for locator in locators]
    for locator, key in sorted(rows):
        delta.add([(key, locator)])
    return delta


def merged(drawn: list[Versions]) -> tuple[Columns, Versions]:
    """All generations merged by the engine, and by hand."""
    columns = index_columns.from_versions([], [])
    expected: Versions = {}
    for versions in drawn:
        columns = index_columns.merge(index_columns.from_delta(delta_of(versions)), columns)
        for key, rows in versions.items():
            expected[key] = rows + expected.get(key, [])
    return columns, expected


def opened(folder: Path, columns: Columns) -> IndexFile:
    path = folder / "0000000001.idx"
    size = write_index(UnsyncedFiles(), path, b"i" * 16, columns)
    return IndexFile(UnsyncedFiles(), path, 1, size)


def assert_holds(index: IndexFile, expected: Versions) -> None:
    """Every question an index answers is answered as the dict would."""
    ordered = sorted(expected)
    assert index.key_count == len(ordered)
    assert index.row_count == sum(map(len, expected.values()))
    newest = [(key, expected[key][0]) for key in ordered]
    assert list(index.scan(b"", None, reverse=False)) == newest
    for key in {*expected, *AWKWARD_KEYS, b"missing"}:
        rows = expected.get(key, [])
        assert list(index.versions(key)) == rows
        assert index.find(key, None) == (rows[0] if rows else None)
        for at in {0, *(row.revision - 1 for row in rows), *(row.revision for row in rows)}:
            visible = [row for row in rows if row.revision <= at]
            assert index.find(key, at) == (visible[0] if visible else None)
        above = [other for other, _ in index.scan(key, None, reverse=False)]
        below = [other for other, _ in index.scan(key, None, reverse=True)]
        assert above == [other for other in ordered if other >= key]
        assert below == [other for other in reversed(ordered) if other < key]
    for after_us, through_us in ((0, 1), (0, 1 << 63), (1, 1 << 63), (5, 6)):
        assert sorted(index.expiring(after_us, through_us)) == sorted(
            (key, row.revision)
            for key, rows in expected.items()
            for row in rows
            if after_us < row.expires_us <= through_us
        )


@settings(max_examples=60, deadline=None)
@given(drawn=generations())
def test_merged_columns_and_their_file_hold_all_versions(tmp_path_factory, drawn):
    columns, expected = merged(drawn)

    assert_holds(opened(tmp_path_factory.mktemp("index"), columns), expected)


@settings(max_examples=60, deadline=None)
@given(drawn=generations(), seed=st.integers(0, 1_000), share=st.sampled_from([0, 0.5, 0.9, 1]))
def test_selected_columns_hold_what_was_selected(tmp_path_factory, drawn, seed, share):
    columns, expected = merged(drawn)
    chosen = random.Random(seed)
    is_kept = [chosen.random() < share for _ in range(columns.row_count)]
    flags = iter(is_kept)
    kept = {
        key: rows
        for key in sorted(expected)
        if (rows := [row for row in expected[key] if next(flags)])
    }

    selected = index_columns.select(columns, np.array(is_kept, np.bool_))

    assert_holds(opened(tmp_path_factory.mktemp("index"), selected), kept)


@settings(max_examples=30, deadline=None)
@given(drawn=generations())
def test_merging_the_columns_of_files_is_the_same_as_merging_in_memory(tmp_path_factory, drawn):
    columns = index_columns.from_versions([], [])
    for versions in drawn:
        newer = opened(
            tmp_path_factory.mktemp("index"), index_columns.from_delta(delta_of(versions))
        )
        older = opened(tmp_path_factory.mktemp("index"), columns)
        columns = index_columns.merge(newer.columns(), older.columns())
    _, expected = merged(drawn)

    assert_holds(opened(tmp_path_factory.mktemp("index"), columns), expected)


def put_locator(revision: int, key: bytes, content_type: str = "text/css") -> Locator:
    size = OVERHEAD + len(key)
    return Locator(revision, pack_position(1, 8 * revision), size, 0, 1, PUT, content_type, 0)


def test_many_keys_of_one_prefix_and_many_versions_are_found(tmp_path):
    older = {
        b"prefix/%06d" % number: [put_locator(number + 1, b"x" * 13)] for number in range(9_000)
    }
    newer = {
        b"prefix/%06d" % (7 * number): [
            put_locator(20_000 + 3 * number + age, b"x" * 13) for age in (2, 1, 0)
        ]
        for number in range(2_000)
    }
    columns, expected = merged([older, newer])
    index = opened(tmp_path, columns)

    assert {key: list(index.versions(key)) for key in expected} == expected
    assert [key for key, _ in index.scan(b"", None, reverse=False)] == sorted(expected)
    assert index.find(b"prefix/", None) is None
    assert index.find(b"prefix/000001\0", None) is None


@pytest.mark.parametrize("rows_at_once", [1, 2, 5])
def test_keys_are_copied_in_steps(monkeypatch, rows_at_once):
    keys = sorted(AWKWARD_KEYS)
    locators = [put_locator(number + 1, key, "text/html") for number, key in enumerate(keys)]
    parts = [index_columns.from_versions(keys[part::3], locators[part::3]) for part in range(3)]
    expected = index_columns.from_versions(keys, locators)
    monkeypatch.setattr(index_columns, "_ROWS_AT_ONCE", rows_at_once)

    merged = index_columns.merge_all(parts)

    assert merged.keys.tobytes() == expected.keys.tobytes()
    assert merged.rows.tobytes() == expected.rows.tobytes()
    assert merged.table.tobytes() == expected.table.tobytes()


def test_equal_hashes_do_not_hide_keys(tmp_path, monkeypatch):
    monkeypatch.setattr(index_columns, "key_tag", lambda _: 7)
    columns, _ = merged([{key: [put_locator(1, key)]} for key in AWKWARD_KEYS])
    index = opened(tmp_path, columns)
    found = [
        index.key(int(word) & 0xFFFFFFFF) for word in columns.table.tolist() if word >> 32 == 7
    ]

    assert sorted(found) == sorted(AWKWARD_KEYS)
    assert index.key_count == len(AWKWARD_KEYS)


@pytest.mark.parametrize("parts", [1, 2])
def test_types_that_find_no_room_are_left_to_the_record(tmp_path, parts):
    """65,535 content types fit; of the others the index only knows that it does not know."""
    count = TYPE_IN_RECORD + 20
    rows = [
        (key, put_locator(number + 1, key, f"type/{number}"))
        for number in range(count)
        for key in (b"%06d" % number,)
    ]
    pieces = np.array_split(np.arange(count), parts)
    columns = index_columns.from_versions([], [])
    for piece in pieces:
        newer = index_columns.from_versions(*zip(*(rows[number] for number in piece), strict=True))
        columns = index_columns.merge(newer, columns)
    index = opened(tmp_path, columns)
    types = [locator.content_type for key, _ in rows if (locator := index.find(key, None))]

    assert len(index.types) == TYPE_IN_RECORD
    assert types.count("") == 20
    assert all(name in ("", f"type/{number}") for number, name in enumerate(types))


def test_the_record_tells_a_type_that_the_index_does_not_know_also_of_a_large_value(tmp_path):
    store = open_log_store(tmp_path, StoreSettings(files=UnsyncedFiles()))
    for size in (1, 300_000):
        store.commit(Txn([Put("a", bytes(size), content_type="text/x-rare")]))
        view = store._follower.current()
        locator = view.find(b"a")
        assert locator is not None
        record = view.read(b"a", locator._replace(content_type=""))

        assert (len(record.value), record.content_type) == (size, "text/x-rare")
    store.close()


def test_an_empty_index_answers_everything_with_nothing(tmp_path):
    columns = index_columns.from_versions([], [])

    assert_holds(opened(tmp_path, index_columns.merge(columns, columns)), {})
