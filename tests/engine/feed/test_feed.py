"""The feed of the log store: places in the log, damage, files that compaction moves."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from rundlet_server.storage.errors import Compacted, Damaged
from rundlet_server.storage.interface import Delete, Limits, Put, Store, Txn
from rundlet_server.storage.log.feed import feed as feed_module
from rundlet_server.storage.log.format.segment import Segment
from rundlet_server.storage.log.read.view import View
from rundlet_server.storage.log.store import LogStore
from rundlet_server.storage.opening import open_log_store
from rundlet_server.storage.settings import StoreSettings
from rundlet_server.storage.timeline import Event
from tests.support.backends import do, put
from tests.support.disks.unsynced_files import UnsyncedFiles
from tests.support.models.model import ModelStore

SMALL = Limits(answer_bytes_max=30)


def opened(folder: Path, **options: object) -> LogStore:
    settings = StoreSettings(files=UnsyncedFiles(), maintain_inline=False, **options)  # type: ignore[arg-type] # of one of the tests
    return open_log_store(folder, settings)


@pytest.fixture(params=["log", "model"])
def small_store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """A store whose pages hold 30 bytes."""
    is_log = request.param == "log"
    store = opened(tmp_path / "data", limits=SMALL) if is_log else ModelStore(limits=SMALL)
    with contextlib.closing(store):
        yield store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[LogStore]:
    with contextlib.closing(opened(tmp_path / "data", keep_for_s=0)) as store:
        yield store


def events(store: Store, since: int = 0, **options: object) -> list[Event]:
    """Return the events of all pages from a revision on."""
    found: list[Event] = []
    head = store.stats().revision
    while since < head:
        page = store.changes(since, **options)  # type: ignore[arg-type] # options of changes
        assert page.next_since > since
        found += page.events
        since = page.next_since
    return found


def test_values_that_alone_make_a_page_too_large_are_left_out(small_store):
    do(small_store, Put("a", bytes(10)), Put("b", bytes(20)), Put("c", bytes(8)))
    put(small_store, "d", bytes(30))
    put(small_store, "e", bytes(29))

    pages = [small_store.changes(since, include_values=True) for since in (0, 1, 2)]
    assert [[(e.key, e.is_value_omitted) for e in page.events] for page in pages] == [
        [("a", False), ("b", True), ("c", False)],
        [("d", True)],
        [("e", False)],
    ]
    assert all((event.value is None) == event.is_value_omitted for event in pages[0].events)
    assert [page.next_since for page in pages] == [1, 2, 3]


def test_a_page_ends_after_much_of_the_log_and_advances(store, monkeypatch):
    monkeypatch.setattr(feed_module, "_SCANNED_BYTES_MAX", 1_000)
    for _ in range(50):
        put(store, "other", bytes(300))
    put(store, "wanted")

    pages = []
    since = 0
    while since < 51:
        pages.append(store.changes(since, prefix="wanted"))
        assert pages[-1].next_since > since
        since = pages[-1].next_since
    assert len(pages) > 10
    assert [len(page.events) for page in pages] == [0] * (len(pages) - 1) + [1]


def test_a_reader_that_goes_on_reads_only_what_is_new(store, monkeypatch):
    for _ in range(100):
        put(store, "a")
    since = store.changes(0).next_since
    starts = []
    frames = Segment.frames
    monkeypatch.setattr(
        Segment,
        "frames",
        lambda segment, start, end, **size: (
            starts.append(start) or frames(segment, start, end, **size)
        ),
    )
    end = store._follower.view.active.offset
    put(store, "b")

    assert [event.key for event in store.changes(since).events] == ["b"]
    assert starts == [end]


@pytest.mark.parametrize("limit", [1, 2, 3, 10, 1_000])
def test_compaction_leaves_the_feed_as_it_was(tmp_path, limit):
    with contextlib.closing(
        opened(tmp_path / "data", keep_for_s=3_600.0, segment_records_max=7)
    ) as store:
        for number in range(60):
            do(store, *(Put(f"k{each}", b"%d" % number) for each in range(number % 4 + 1)))
            if number % 5 == 0:
                do(store, Delete("k0"))
        before = events(store)
        store.compact(wait=True)

        assert [event[:8] for event in events(store, limit=limit)] == [e[:8] for e in before]
        assert [e.is_last for e in events(store, limit=limit)] == [e.is_last for e in before]


def test_the_feed_begins_at_the_oldest_revision(store):
    for number in range(20):
        put(store, "a", b"%d" % number)
    do(store, Delete("a"))
    put(store, "b")
    store.compact(wait=True)
    put(store, "c")

    oldest = store.stats().oldest_revision
    assert oldest > 0
    with pytest.raises(Compacted):
        store.changes(oldest - 1)
    assert [event.key for event in store.changes(oldest).events][-1] == "c"


def test_files_that_compaction_removes_under_a_read_are_read_where_they_are_now(
    tmp_path, monkeypatch
):
    with contextlib.ExitStack() as stack:
        settings = {"keep_for_s": 3_600.0, "segment_records_max": 5}
        writer = stack.enter_context(contextlib.closing(opened(tmp_path / "data", **settings)))
        for number in range(42):  # the active segment is not full: only files are moved
            put(writer, f"k{number % 3}", b"%d" % number)
        before = events(writer)
        writer.maintainer.checkpoint()
        reader = stack.enter_context(contextlib.closing(opened(tmp_path / "data", **settings)))
        segment = View.segment

        def compact_first(view: View, number: int) -> Segment:
            monkeypatch.undo()
            assert writer.maintainer.compact(thorough=False).segments_before > 1
            return segment(view, number)

        monkeypatch.setattr(View, "segment", compact_first)
        found = events(reader, limit=3)

        assert [event[:8] for event in found] == [event[:8] for event in before]


def test_a_missing_file_is_damage(store, tmp_path):
    put(store, "a")
    store._writer.seal()
    put(store, "b")
    with contextlib.closing(opened(tmp_path / "data")) as reader:
        reader._follower.view.segments.clear()
        (tmp_path / "data/0000000001.log").unlink()

        with pytest.raises(Damaged, match=re.escape("0000000001.log")):
            reader.changes(0)


@pytest.mark.parametrize("place", ["header", "record", "last"])
@pytest.mark.parametrize("is_sealed", [False, True])
def test_damaged_bytes_are_never_silent(store, tmp_path, place, is_sealed):
    for number in range(10):
        put(store, "key", b"%d" % number)
    path = tmp_path / "data/0000000001.log"
    size = path.stat().st_size
    if is_sealed:
        store._writer.seal()
        put(store, "behind")
    offset = {"header": 64 + 9, "record": size // 2, "last": size - 1}[place]
    with path.open("r+b") as file:
        file.seek(offset)
        byte = file.read(1)
        file.seek(offset)
        file.write(bytes([byte[0] ^ 1]))

    with pytest.raises(Damaged):
        events(store)
    with pytest.raises(Damaged):
        events(store, since=9 if place == "last" else 0, limit=1)


def test_a_shortened_file_is_damage(store, tmp_path):
    for _ in range(3):
        put(store, "a")
    path = tmp_path / "data/0000000001.log"
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size - 8)

    with pytest.raises(Damaged):
        events(store)


def test_large_commits_and_values_pass_through(store):
    value = bytes(range(256)) * 3_000
    store.commit(Txn([Put("large", value), Put("small", b"1")]))
    put(store, "next")

    found = events(store, include_values=True)
    assert [(event.key, event.value) for event in found] == [
        ("large", value),
        ("small", b"1"),
        ("next", b"v"),
    ]


def test_bulk_loads_are_commits_of_the_feed(tmp_path):
    with contextlib.closing(open_log_store(tmp_path / "data", StoreSettings())) as store:
        rows = [(b"k%05d" % number, b"%d" % number, "text/plain") for number in range(3_000)]
        store.load(rows)
        put(store, "last")

        found = events(store, include_values=True)
        assert [(event.key.encode(), event.value) for event in found[:-1]] == [
            (key, value) for key, value, _ in rows
        ]
        revisions = [event.revision for event in found]
        assert revisions == sorted(revisions)
        assert [event.is_last for event in found] == [
            after != before for before, after in zip(revisions, [*revisions[1:], 0], strict=True)
        ]
