"""What compaction drops and keeps, what expires in the background, and what a hold keeps."""

from __future__ import annotations

import gc
import re
import threading

import pytest

from rundlet_server.storage.errors import Compacted
from rundlet_server.storage.interface import TEXT_CONTENT_TYPE, Delete, Restore
from rundlet_server.storage.timeline import Moment, Retention
from tests.support import PATIENCE_S
from tests.support.backends import do, kinds, names, put, value
from tests.support.models.model import Clock
from tests.support.processes.servers import wait_for


@pytest.fixture
def kept(store):
    """A store that keeps two versions, and everything of the last ten seconds."""
    store.retain(Retention(2, 10))
    return store


def test_versions_beyond_those_that_are_kept_are_dropped(kept, clock):
    for number in range(5):
        put(kept, "a", b"%d" % number)
    clock.advance(11)

    kept.compact(wait=True)

    assert [version.version for version in kept.history("a").versions] == [5, 4]
    assert kept.stats().oldest_revision == 5
    assert kept.get_version("a", 4).value == b"3"
    with pytest.raises(Compacted):
        kept.get_version("a", 3)
    with pytest.raises(Compacted) as caught:
        kept.get("a", at=4)
    assert (caught.value.oldest_revision, caught.value.oldest_time_us) == (
        5,
        clock.now_us - 11_000_000,
    )


def test_everything_that_was_seen_lately_is_kept(kept, clock):
    for number in range(5):
        put(kept, "a", b"%d" % number)
        clock.advance(4)

    kept.compact(wait=True)  # ten seconds ago, revision 3 was the head

    assert kept.stats().oldest_revision == 3
    assert [value(kept, "a", at=revision) for revision in (3, 4, 5)] == [b"2", b"3", b"4"]
    assert [event.revision for event in kept.changes(3).events] == [4, 5]
    with pytest.raises(Compacted):
        kept.changes(2)
    with pytest.raises(Compacted):
        kept.moment(clock.now_us - 13_000_000)
    assert kept.moment(clock.now_us - 10_000_000).revision == 3


def test_deleted_keys_and_earlier_lives_go_when_their_time_is_over(kept, clock):
    put(kept, "a", b"1")
    do(kept, Delete("a"))
    put(kept, "b", b"old")
    do(kept, Delete("b"))
    put(kept, "b", b"new")
    clock.advance(11)

    kept.compact(wait=True)

    assert kept.history("a").versions == []
    assert kinds(kept, "b") == ["put"]
    assert (kept.stats().key_count, kept.stats().value_bytes) == (1, 3)
    assert names(kept.scan(at=5)) == ["b"]


def test_held_revision_stays_readable(kept, clock):
    put(kept, "a", b"1")
    put(kept, "a", b"2")
    put(kept, "a", b"3")
    put(kept, "a", b"4")
    clock.advance(11)

    with kept.hold(1):
        kept.compact(wait=True)
        assert value(kept, "a", at=1) == b"1"
        clock.advance(299)
        kept._timeline.renew_holds()
        clock.advance(299)
        kept.compact(wait=True)
        assert value(kept, "a", at=1) == b"1"
    kept.compact(wait=True)
    with pytest.raises(Compacted):
        kept.get("a", at=1)
    with pytest.raises(Compacted), kept.hold(1):
        pass


def test_hold_of_a_process_that_died_ends(kept, open_store, clock):
    put(kept, "a", b"1")
    put(kept, "a", b"2")
    dead = open_store()
    hold = dead.hold(1)
    hold.__enter__()
    clock.advance(301)

    kept.compact(wait=True)

    assert kept.stats().oldest_revision == 2


def test_hold_that_the_collector_frees_waits_for_no_connection(kept, clock):
    put(kept, "a", b"1")
    put(kept, "a", b"2")
    abandon(kept.hold(1))

    def collect_in_the_pool() -> None:
        with kept._connections._pool._lock:
            gc.collect()

    thread = threading.Thread(target=collect_in_the_pool, daemon=True)
    thread.start()
    thread.join(PATIENCE_S)

    assert not thread.is_alive()
    clock.advance(11)
    kept.compact(wait=True)
    assert value(kept, "a", at=1) == b"1"
    kept._tend()
    kept.compact(wait=True)
    assert kept.stats().oldest_revision == 2


def abandon(hold) -> None:
    """Enter a hold that only the collector frees: it is in a list that refers to itself."""
    cycle = [hold]
    cycle.append(cycle)
    hold.__enter__()


def test_restore_reaches_a_version_that_is_kept(kept, clock):
    for number in range(4):
        put(kept, "a", b"%d" % number)
    clock.advance(11)
    kept.compact(wait=True)

    do(kept, Restore("a", 3))

    assert value(kept, "a") == b"2"


def test_many_dropped_rows_go_in_small_transactions(kept, clock):
    rows = [(b"k%04d" % number, b"1", TEXT_CONTENT_TYPE) for number in range(1_500)]
    for _ in range(3):
        kept.load(rows)
    clock.advance(11)

    kept.compact(wait=True)

    assert kept.stats().key_count == kept.count(prefix="k") == 1_500
    assert [version.version for version in kept.history("k0007").versions] == [3, 2]


def test_store_that_is_tended_logs_expiries_and_compacts(open_store, clock):
    store = open_store(is_tended=True, keep_versions=1, keep_for_s=60.0)
    put(store, "a", b"1", ttl_s=1)
    put(store, "b", b"1")
    put(store, "b", b"2")
    clock.advance(120)

    assert wait_for(lambda: store.wait(3, 1.0) > 3)
    assert [event.kind for event in store.changes(3).events] == ["expire"]
    wait_for(lambda: store.stats().oldest_revision == 3)


def test_claim_of_a_clock_that_is_ahead_stops_no_compaction(kept, open_store, clock):
    wrong = Clock(clock.now_us + 3_600_000_000)
    open_store(clock=wrong)._dropping.compact_if_due()
    put(kept, "a", b"1")
    put(kept, "a", b"2")
    clock.advance(61)

    kept._dropping.compact_if_due()

    assert kept.stats().oldest_revision == 2
    put(kept, "a", b"3")
    clock.advance(59)
    kept._dropping.compact_if_due()
    assert kept.stats().oldest_revision == 2


def test_loaded_rows_are_commits_of_up_to_a_thousand(store):
    rows = [(b"k%05d" % number, b"%d" % number, TEXT_CONTENT_TYPE) for number in range(2_500)]

    store.load([*rows, (b"k00001", b"again", TEXT_CONTENT_TYPE)])

    assert store.stats().revision == 3
    assert (store.count(), store.count(prefix="k01")) == (2_500, 1_000)
    assert store.get("k00001")[1:4] == (b"again", 3, 2)
    assert store.get("k02499").value == b"2499"
    assert len(store.changes(2, limit=10_000).events) == 501


def test_large_value_is_read_in_pieces(store):
    large = bytes(range(256)) * 8_192
    put(store, "a", large)

    found = store.peek("a")

    assert (found.size, found.revision) == (len(large), 1)
    pieces = []
    while (size := sum(map(len, pieces))) < found.size:
        pieces.append(found.pieces.read(size, found.size - size))
    assert b"".join(pieces) == large
    assert store.get_many(["a", "b"]).entries[0].value == large
    assert store.scan(include_values=True).keys[0].entry.value == large
    assert store.changes(0, include_values=True).events[0].value == large
    assert store.peek("a", at=Moment(1, store.scan().moment.time_us)).size == len(large)


def test_page_reads_no_more_keys_than_it_shows(store):
    rows = [(b"k%05d" % number, bytes(100), TEXT_CONTENT_TYPE) for number in range(20_000)]
    store.load(rows)
    looked_up = []
    read = store._connections.rows
    store._connections.rows = lambda text, arguments: (
        looked_up.extend(read(f"EXPLAIN (ANALYZE, FORMAT TEXT) {text}", arguments))
        or read(text, arguments)
    )

    page = store.scan(after="k01000")

    assert names(page) == [f"k{number:05}" for number in range(1_001, 2_001)]
    counts = re.findall(r"rows=(\d+) loops", "\n".join(line for (line,) in looked_up))
    assert max(map(int, counts)) == 1_001
