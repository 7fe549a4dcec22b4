"""Test that the cache of read values is bounded and never older than the log."""

from __future__ import annotations

import random
import threading
from contextlib import closing

import pytest

from rundlet_server.storage.interface import Delete, Entry, Put, Txn
from rundlet_server.storage.log.read.disposal import DICTS_MAX, Disposal
from rundlet_server.storage.log.read.entry_cache import ENTRY_OVERHEAD, EntryCache
from rundlet_server.storage.opening import open_log_store
from rundlet_server.storage.settings import StoreSettings


def entry_of(key: str, value: bytes) -> Entry:
    return Entry(key, value, 1, 1, 0, "text/plain", None)


def test_what_was_put_is_there():
    cache = EntryCache(1_000_000, Disposal())
    entry = entry_of("a", b"1")
    cache.put(b"a", entry)

    assert cache.get(b"a") is entry
    assert cache.get(b"b") is None


def test_a_value_that_is_used_outlives_those_that_are_not():
    cache = EntryCache(1_000_000, Disposal())
    used = entry_of("used", b"1")
    cache.put(b"used", used)
    for number in range(5_000):
        key = f"k{number}"
        cache.put(key.encode(), entry_of(key, b"x" * 1_000))
        assert cache.get(b"used") is used

    assert cache.get(b"k0") is None
    assert cache.get(b"k4999") is not None


def test_a_large_value_is_not_kept():
    cache = EntryCache(1_000_000, Disposal())
    cache.put(b"large", entry_of("large", bytes(100_000)))

    assert cache.get(b"large") is None


def bytes_of(cache: EntryCache) -> int:
    dicts = (cache._young, cache._old, cache._dropped)
    sizes = (2 * len(key) + len(entry.value) for rows in dicts for key, entry in rows.items())
    return sum(sizes) + ENTRY_OVERHEAD * sum(map(len, dicts))


@pytest.mark.parametrize("size_max", [0, 400, 3_000])
def test_a_cache_that_turns_over_without_a_pause_keeps_its_bound(size_max: int):
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")  # noqa: T201 - pytest shows it where the test fails
    rng = random.Random(seed)
    disposal = Disposal()  # which no thread empties
    cache = EntryCache(1_000_000, disposal)
    for number in range(20_000):
        key = f"{number}"
        cache.put(key.encode(), entry_of(key, bytes(rng.randint(0, size_max))))
        if number % 100 == 0:
            assert bytes_of(cache) <= 1_500_000
            assert not disposal._waiting


def test_threads_that_fill_a_cache_do_not_make_it_grow():
    disposal = Disposal()
    cache = EntryCache(1_000_000, disposal)

    def fill(first: int) -> None:
        for number in range(first, first + 20_000):
            cache.put(b"%d" % number, entry_of("k", bytes(400)))

    threads = [threading.Thread(target=fill, args=(n * 20_000,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert bytes_of(cache) <= 2 * 1_500_000  # some puts count twice or not at all
    assert len(disposal._waiting) <= DICTS_MAX


def test_a_cache_of_no_bytes_keeps_nothing():
    cache = EntryCache(0, Disposal())
    cache.put(b"a", entry_of("a", b""))

    assert cache.get(b"a") is None


def test_reads_follow_the_writes_of_another_store(tmp_path):
    reader, writer = open_log_store(tmp_path), open_log_store(tmp_path)
    for number in range(20):
        writer.commit(Txn([Put("a", b"%d" % number)]))
        assert reader.get("a").value == b"%d" % number
        assert reader.get("a").value == b"%d" % number
    writer.commit(Txn([Delete("a")]))

    assert reader.get("a") is None
    assert reader.get_many(["a"]).entries == [None]
    reader.close()
    writer.close()


def test_an_old_revision_is_not_answered_with_the_newest_value(tmp_path):
    store = open_log_store(tmp_path)
    first = store.commit(Txn([Put("a", b"1")])).revision
    store.commit(Txn([Put("a", b"2")]))

    assert store.get("a").value == b"2"
    assert store.get("a", at=first).value == b"1"
    assert store.get_many(["a"], at=first).entries[0].value == b"1"
    assert store.get("a").value == b"2"
    store.close()


def test_an_old_value_that_is_read_does_not_become_the_newest(tmp_path):
    store = open_log_store(tmp_path)
    first = store.commit(Txn([Put("a", b"1")])).revision
    store.commit(Txn([Put("a", b"2")]))
    store._writer.seal()  # what is newer is not in the newest delta any more

    assert store.get_many(["a"], at=first).entries[0].value == b"1"
    assert store.get("a").value == b"2"
    store.close()


def test_a_checkpoint_or_a_compaction_forgets_no_value(tmp_path):
    settings = StoreSettings(maintain_inline=False, keep_for_s=0, keep_versions=1)
    with closing(open_log_store(tmp_path, settings)) as store:
        store.commit(Txn([Put("a", b"1"), Put("b", b"1")]))
        store.commit(Txn([Put("a", b"2")]))
        store._writer.seal()
        entries = [store.get("a"), store.get("b")]
        store.maintainer.checkpoint()
        store.maintainer.compact(thorough=True)
        store.commit(Txn([Put("b", b"2")]))

        assert store.get("a") is entries[0]
        assert store.get("b").value == b"2"
        store._writer.seal()
        assert store.get("a") == entries[0]
        assert store.get("b").value == b"2"


def test_a_value_read_before_a_newer_one_was_sealed_is_never_the_newest_again(tmp_path):
    with closing(open_log_store(tmp_path, StoreSettings(maintain_inline=False))) as store:
        store.commit(Txn([Put("a", b"1")]))
        view = store._follower.current()
        entry = store.get("a")
        store.commit(Txn([Put("a", b"2")]))
        store._writer.seal()
        view.cache.put(b"a", entry)  # a reader that was slow

        assert store.get("a").value == b"2"
        store.maintainer.checkpoint()
        assert store.get("a").value == b"2"


def test_a_cached_value_expires(tmp_path):
    now_us = 1_000_000
    store = open_log_store(tmp_path, StoreSettings(clock=lambda: now_us))
    store.commit(Txn([Put("a", b"1", ttl_s=5)]))
    assert store.get("a").value == b"1"

    now_us += 5_000_000
    assert store.get("a") is None
    assert store.get_many(["a"]).entries == [None]
    store.close()


def test_random_reads_and_writes_agree_with_a_dict(tmp_path):
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")  # noqa: T201 - pytest shows it where the test fails
    rng = random.Random(seed)
    settings = StoreSettings(
        segment_records_max=50, cache_bytes_max=200_000, keep_for_s=0, keep_versions=1, sync="never"
    )
    stores = [open_log_store(tmp_path, settings) for _ in range(2)]
    model: dict[str, bytes] = {}
    for step in range(3_000):
        key = f"k{rng.randrange(40)}"
        store = rng.choice(stores)
        if rng.random() < 0.2:
            value = b"%d" % step
            store.commit(Txn([Put(key, value)]))
            model[key] = value
        elif rng.random() < 0.05:
            store.commit(Txn([Delete(key)]))
            model.pop(key, None)
        elif rng.random() < 0.01:
            store.maintainer.compact(thorough=True)
        else:
            found = store.get(key)
            assert (found.value if found else None) == model.get(key)
    for store in stores:
        store.close()


def test_a_value_read_as_it_was_is_not_taken_for_the_newest(tmp_path):
    with closing(open_log_store(tmp_path)) as store:
        old = store.commit(Txn([Put("a", b"old")])).revision
        store.commit(Txn([Put("a", b"new")]))
        store._writer.seal()  # what decides is in no newest delta any more

        assert store.get_many(["a"], at=old).entries[0].value == b"old"
        assert store.get("a").value == b"new"
