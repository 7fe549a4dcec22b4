"""What answers take in memory: a request of a few bytes cannot ask for any amount of it."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path

import falcon.testing
import pytest

from rundlet_server.functions.app import create_app
from rundlet_server.storage.interface import Put, Store, Txn
from rundlet_server.storage.opening import open_log_store
from rundlet_server.storage.settings import StoreSettings
from rundlet_server.storage.textfile.store import open_text_file

MIB = 1024 * 1024
VALUE = bytes(4 * MIB)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = open_log_store(tmp_path / "data", StoreSettings(sync="never"))
    store.commit(Txn([Put("large", VALUE)]))
    yield store
    store.close()


@pytest.fixture
def api(store: Store) -> falcon.testing.TestClient:
    return falcon.testing.TestClient(create_app(store))


def peak_of(work: Callable[[], object]) -> int:
    """Return how many bytes of memory a function takes at most."""
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("media_type", ["application/json", "application/cbor"])
def test_one_large_value_asked_for_150_times_is_refused_before_it_is_read(api, media_type: str):
    body = {"keys": ["large"] * 150}

    def ask() -> None:
        answer = api.simulate_post("/v1/mget", json=body, headers={"Accept": media_type})
        assert (answer.status_code, answer.json["got"]) == (413, 150 * (5 + len(VALUE)))

    assert peak_of(ask) < MIB


def test_a_repeated_value_is_read_once(store: Store):
    assert peak_of(lambda: store.get_many(["large"] * 15)) < 2 * len(VALUE)


def test_a_repeated_line_of_a_text_file_is_read_once(tmp_path: Path):
    path = tmp_path / "values.txt"
    path.write_bytes(b"large " + b"x" * len(VALUE) + b"\n")
    store = open_text_file(path, any_key=True, cache_folder=tmp_path)

    assert peak_of(lambda: store.get_many(["large"] * 15)) < 3 * len(VALUE)
    store.close()


def test_a_page_of_large_values_takes_as_much_as_one_answer_may(store: Store):
    for number in range(20):
        store.commit(Txn([Put(f"large {number:02}", VALUE)]))

    page = store.scan(include_values=True)

    assert len(page.keys) == 15
    assert sum(info.size for info in page.keys) <= store.info.limits.answer_bytes_max
    assert page.resume == page.keys[-1].key
