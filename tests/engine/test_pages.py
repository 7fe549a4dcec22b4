"""Test that a page read in blocks is the page that is read key by key, over random stores."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from rundlet_server.storage.errors import Damaged
from rundlet_server.storage.interface import Delete, Limits, Op, Page, Put, Restore, Touch, Txn
from rundlet_server.storage.log.read import pages
from rundlet_server.storage.log.store import LogStore
from rundlet_server.storage.metadata import metadata_of
from rundlet_server.storage.opening import open_log_store
from rundlet_server.storage.settings import StoreSettings
from tests.support.disks.unsynced_files import UnsyncedFiles
from tests.support.models.model import Clock

KEYS = [f"{letter}{number}" for letter in "abé" for number in range(15)] + ["a", "b", "a\0", "zz"]
IN_BLOCKS, KEY_BY_KEY = 1, 1 << 30


@pytest.fixture
def store(tmp_path: Path) -> Iterator[LogStore]:
    settings = StoreSettings(
        files=UnsyncedFiles(),
        clock=Clock(),
        maintain_inline=False,
        segment_records_max=60,
        cache_bytes_max=0,
        limits=Limits(answer_bytes_max=400_000),
    )
    with contextlib.closing(open_log_store(tmp_path / "data", settings)) as store:
        yield store


def commit(store: LogStore, *ops: Op) -> None:
    store.commit(Txn(ops))


def checkpoint(store: LogStore, rng: random.Random) -> None:
    """Seal what was written and make an index file; some are verified, of some no type is known."""
    store._writer.seal()
    store.maintainer.checkpoint(wait=True)
    for index in store._follower.refresh().indexes:
        if rng.random() < 0.5:
            index.verify()
        if rng.random() < 0.1:
            index.types = ()
            index.type_names = index.type_names[-1:]


def change(store: LogStore, rng: random.Random) -> None:
    clock = store._settings.clock
    key = rng.choice(KEYS)
    ops: list[Op] = [
        Put(key, rng.randbytes(rng.choice([0, 5, 100]))),
        Put(key, b"text", rng.choice(["text/plain", "text/x-rare"]), rng.choice([None, 30.0])),
        Put(key, b"described", metadata=metadata_of({"by": "x" * rng.choice([3, 900])})),
        Put(key, b"due", expires_us=clock.now_us + rng.choice([-1, 1, 9_000_000])),
        Put(key, bytes(rng.choice([250_000, 270_000]))),
        Touch(key, rng.choice([None, 20.0])),
        Restore(key, 1),
        Delete(key),
    ]
    [op] = rng.choices(ops, [6, 4, 2, 2, 0.3, 2, 2, 3])
    if isinstance(op, Put | Delete) or store.get(key) is not None:
        commit(store, op)
    if rng.random() < 0.02:
        clock.advance(rng.choice([1, 25]))
    if rng.random() < 0.02:
        checkpoint(store, rng)
    if rng.random() < 0.01:
        store.maintainer.compact(thorough=rng.random() < 0.5)
    if rng.random() < 0.01:
        store.erase(key)
    if rng.random() < 0.01:
        store.maintainer.remove_erased()


def pages_of(store: LogStore, lines_min: int, **options: object) -> list[Page]:
    """Return all pages of a list, read in one of the two ways."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pages, "_LINES_MIN", lines_min)
        found = [store.scan(**options)]
        while found[-1].resume is not None:
            found.append(store.scan(**options | {"after": found[-1].resume}))
    return found


def count_of(store: LogStore, lines_min: int, counted_at_once: int, **options: object) -> int:
    """Return the number of keys of a list, counted in one of the two ways."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pages, "_LINES_MIN", lines_min)
        patch.setattr(pages, "_COUNTED_AT_ONCE", counted_at_once)
        return store.count(**options)


def random_list(store: LogStore, rng: random.Random) -> dict[str, object]:
    stats = store.stats()
    lately = max(stats.oldest_revision, stats.revision - 20)
    at = rng.randint(rng.choice([stats.oldest_revision, lately]), stats.revision)
    return {
        "prefix": rng.choice(["", "", "a", "é", "nothing"]),
        "start": rng.choice([None, None, "a3", "b", "\0"]),
        "end": rng.choice([None, None, "b12", "zz", "a\0"]),
        "limit": rng.choice([1, 2, 3, 10, 45, 1_000]),
        "include_values": rng.random() < 0.5,
        "include_metadata": rng.random() < 0.3,
        "at": rng.choice([stats.revision, at, store.moment(store._clock.now_us())]),
    }


def test_pages_in_blocks_are_those_key_by_key(store):
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")  # noqa: T201 - pytest shows it where the test fails
    rng = random.Random(seed)
    for _ in range(400):
        change(store, rng)
        options = random_list(store, rng)
        sizes: list[int] = []
        in_blocks = pages_of(store, IN_BLOCKS, **options, admit=sizes.append)
        others: list[int] = []
        assert in_blocks == pages_of(store, KEY_BY_KEY, **options, admit=others.append), options
        assert sizes == others
        options = {name: options[name] for name in ("prefix", "start", "end", "at")}
        count = sum(len(page.keys) for page in pages_of(store, KEY_BY_KEY, **options))
        assert count_of(store, IN_BLOCKS, rng.choice([1, 2, 10, 1_000]), **options) == count
        assert count_of(store, KEY_BY_KEY, 1, **options) == count


def test_erased_key_is_in_no_list_of_the_past(store):
    for number in range(40):
        commit(store, Put(f"{number:03}", b"value"))
    before = store.stats().revision
    store.erase("020")

    assert len(store.scan(at=before).keys) == 39


def test_lists_at_the_head_are_read_in_blocks_whatever_was_written_since_the_last_index(store):
    for number in range(100):
        commit(store, Put(f"{number:03}", b""))
    checkpoint(store, random.Random(1))
    commit(store, Put("new", b""), Delete("050"))
    view = store._follower.current()
    whole = pages.Range.of("", None, None, reverse=False)

    assert pages.suits_lines(view, whole, 1_000, view.head.revision)
    assert not pages.suits_lines(view, whole, 10, view.head.revision)
    assert len(store.scan().keys) == 100


def put_all(store: LogStore, *names: str) -> int:
    """Put keys, each in a commit, and return the last revision."""
    for name in names:
        commit(store, Put(name, b""))
    return store.stats().revision


def test_indexed_keys_behind_what_was_read_of_new_ones_are_read_later(store):
    names = [f"{number:03}" for number in range(200)]
    put_all(store, *names[::20])
    checkpoint(store, random.Random(1))
    put_all(store, *names)
    commit(store, *map(Delete, names[10:30]))

    assert [info.key for info in store.scan(limit=50).keys] == names[:10] + names[30:70]


def test_new_keys_behind_newer_ones_are_in_lists_of_the_past(store):
    put_all(store, *(f"b{number:02}" for number in range(40)))
    checkpoint(store, random.Random(1))
    at = put_all(store, "a99")
    put_all(store, *(f"a{number:02}" for number in range(40)))

    page = store.scan(limit=35, at=at)

    assert [info.key for info in page.keys[:2]] == ["a99", "b00"]


def test_lists_of_the_past_show_the_newest_version_that_no_index_file_has(store):
    names = [f"{number:02}" for number in range(40)]
    put_all(store, *names)
    store._writer.seal()
    at = put_all(store, *names)
    put_all(store, "later")

    assert {info.version for info in store.scan(at=at).keys} == {2}


def test_page_in_blocks_ends_where_its_values_would_be_too_large(store):
    commit(store, *(Put(f"{number:02}", bytes(20_000)) for number in range(40)))

    page = store.scan(include_values=True)

    assert page.resume == page.keys[-1].key
    assert len(page.keys) == 19


def test_damaged_value_in_a_list_is_an_error_with_its_place(store):
    for number in range(40):
        commit(store, Put(f"{number:03}", b"value"))
    segment = store._follower.view.segment(1)
    place = store._follower.view.find(b"020")
    segment.file.pwrite([b"X"], (place.position & 0xFFFFFFFF) + 40)

    with pytest.raises(Damaged, match="checksum") as found:
        store.scan(include_values=True)

    assert found.value.offset == place.position & 0xFFFFFFFF
    assert len(store.scan().keys) == 40
