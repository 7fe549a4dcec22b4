"""Bulk loads into etcd: what commits of the same rows would store, in fewer calls."""

from __future__ import annotations

import json
import threading
from contextlib import closing

import pytest

from rundlet_server.storage.address import StoreAddress
from rundlet_server.storage.errors import DiskFull, InvalidKey, LimitExceeded, ReadOnly
from rundlet_server.storage.etcd.cluster.place import EtcdPlace
from rundlet_server.storage.etcd.store import EtcdStore
from rundlet_server.storage.interface import DEFAULT_CONTENT_TYPE, Limits, Row
from rundlet_server.storage.settings import StoreSettings
from tests.support.backends import kinds, put, value
from tests.support.models.model import Clock
from tests.support.processes.command_line import run
from tests.support.processes.etcd import EtcdNode, quick_options

ROWS = 1_300
"""More than two rounds of four calls."""


def rows_of(count: int, content: bytes = b"v", *, first: int = 0) -> list[Row]:
    return [
        (b"k%05d" % n, content + b"%d" % n, DEFAULT_CONTENT_TYPE)
        for n in range(first, first + count)
    ]


def test_a_load_stores_every_row_once(store):
    rows = rows_of(ROWS)

    store.load(rows)

    assert {(e.key.encode(), e.value) for e in entries(store)} == {row[:2] for row in rows}
    assert {e.version for e in entries(store)} == {1}
    stats = store.stats()
    assert (stats.key_count, stats.value_bytes) == (ROWS, sum(len(row[1]) for row in rows))
    events = store.changes(0, limit=100_000).events
    assert sorted(event.key.encode() for event in events) == [row[0] for row in rows]


def entries(store):
    return [info.entry for info in store.scan(limit=2 * ROWS, include_values=True).keys]


def test_rows_replace_values_and_the_last_of_a_key_wins(store):
    store.load(rows_of(300))
    again = [*rows_of(300, b"old", first=200), *rows_of(300, b"new", first=200)]

    store.load(again)

    assert value(store, "k00100") == b"v100"
    assert (value(store, "k00250"), store.get("k00250").version) == (b"new250", 2)
    assert (value(store, "k00450"), store.get("k00450").version) == (b"new450", 1)
    stats = store.stats()
    assert (stats.key_count, stats.value_bytes) == (500, sum(len(e.value) for e in entries(store)))


def test_what_has_expired_ends_before_a_row_replaces_it(open_etcd):
    clock = Clock()
    store = open_etcd(clock=clock)
    for number in range(70):
        put(store, f"k{number:05}", ttl_s=1)
    clock.advance(2)

    store.load(rows_of(70))

    assert kinds(store, "k00069") == ["put", "expire", "put"]
    assert store.get("k00069").version == 1
    assert store.stats().key_count == 70


def test_loads_and_commits_of_the_same_keys_at_once_leave_exact_counts(open_etcd):
    stores = [open_etcd(), open_etcd()]
    threads = [
        threading.Thread(target=each.load, args=(rows_of(300, b"%d/" % number),))
        for number, each in enumerate(stores)
    ]
    for thread in threads:
        thread.start()
    for number in range(0, 300, 10):
        put(stores[0], f"k{number:05}", b"other")
    for thread in threads:
        thread.join()

    store = stores[0]
    stats = store.stats()
    assert (stats.key_count, stats.value_bytes) == (300, sum(len(e.value) for e in entries(store)))
    assert store.get("k00010").version == 3
    assert store.get("k00011").version == 2


def test_long_keys_and_large_values_fit_into_calls(open_etcd):
    store = open_etcd(limits=Limits(key_bytes_max=60_000))
    rows = [(b"%02d" % n + b"k" * 50_000, b"v", DEFAULT_CONTENT_TYPE) for n in range(40)]
    rows += [(b"large%d" % n, bytes(1_400_000), DEFAULT_CONTENT_TYPE) for n in range(5)]

    store.load(rows)

    assert store.stats().key_count == 45
    assert len(value(store, "large4")) == 1_400_000


@pytest.mark.parametrize(
    ("row", "error"),
    [
        ((b"k" * 3_000, b"", DEFAULT_CONTENT_TYPE), LimitExceeded),
        ((b"a", bytes(2_000_000), DEFAULT_CONTENT_TYPE), LimitExceeded),
        ((b"", b"", DEFAULT_CONTENT_TYPE), InvalidKey),
    ],
)
def test_a_row_that_cannot_be_stored_keeps_all_others_out(store, row, error):
    with pytest.raises(error):
        store.load([*rows_of(10), row])

    assert store.stats().key_count == 0


def test_a_store_that_is_only_read_loads_nothing(open_etcd):
    open_etcd()

    with pytest.raises(ReadOnly):
        open_etcd(is_read_only=True).load(rows_of(1))


def test_a_load_that_fills_the_quota_says_how_far_it_came_and_can_go_on(tmp_path):
    node = EtcdNode(tmp_path)
    node.start(*quick_options(), "--quota-backend-bytes", "16777216")
    try:
        node.wait_until_healthy()
        address = f"etcd://{node.endpoint}/full"
        file = tmp_path / "rows.jsonl"
        values = ({"key": f"{n:05}", "text": "x" * 10_000} for n in range(3_000))
        file.write_text("".join(f"{json.dumps(line)}\n" for line in values))

        ended = run("import", str(file), "--store", address)

        assert ended.code == 4
        assert "run the same import again to store all" in ended.err
        said = int(ended.err.split("the first ")[1].split(" ")[0].replace(",", ""))
        with closing(EtcdStore(EtcdPlace.of(StoreAddress.parse(address)), StoreSettings())) as own:
            assert 0 < said <= own.stats().key_count < 3_000
            assert value(own, f"{said - 1:05}") == b"x" * 10_000
            with pytest.raises(DiskFull):
                own.load(rows_of(1))
    finally:
        node.kill()
