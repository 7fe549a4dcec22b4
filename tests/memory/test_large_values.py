"""Large values: read in pieces, verified before anything is sent, and again piece by piece."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import falcon.testing
import pytest

from rundlet_server.functions.app import create_app
from rundlet_server.storage.bounds import LARGE_VALUE_BYTES
from rundlet_server.storage.errors import Damaged
from rundlet_server.storage.interface import TEXT_CONTENT_TYPE, Entry, Put, Store, Txn
from rundlet_server.storage.large_values import LargeValue
from rundlet_server.storage.log.format.pieces import PIECE_BYTES
from rundlet_server.storage.opening import open_log_store
from rundlet_server.storage.settings import StoreSettings
from rundlet_server.storage.textfile.store import open_text_file
from tests.memory.test_answers import peak_of

VALUE = random.Random(1).randbytes(1_000_003).hex().encode()


class Kept:
    """A store with one large value, and the file that holds it."""

    def __init__(self, file: Path, store: Store) -> None:
        self.file = file
        self.store = store

    def damage(self, place: int) -> None:
        """Change one byte of the value."""
        offset = self.file.read_bytes().index(VALUE) + place
        with self.file.open("r+b") as file:
            file.seek(offset)
            file.write(bytes([VALUE[place] ^ 1]))


@pytest.fixture(params=["log", "text file"])
def kept(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Kept]:
    store: Store
    if request.param == "log":
        store = open_log_store(tmp_path / "data", StoreSettings(sync="never"))
        store.commit(Txn([Put("large", VALUE, TEXT_CONTENT_TYPE, ttl_s=9_000)]))
        file = max((tmp_path / "data").iterdir(), key=lambda path: path.stat().st_size)
    else:
        file = tmp_path / "values.txt"
        file.write_bytes(b"small v\nlarge %b\nother v\n" % VALUE)
        store = open_text_file(file, any_key=True, cache_folder=tmp_path)
    yield Kept(file, store)
    store.close()


@pytest.fixture
def api(kept: Kept) -> falcon.testing.TestClient:
    return falcon.testing.TestClient(create_app(kept.store))


def peeked(store: Store) -> LargeValue:
    found = store.peek("large")
    assert isinstance(found, LargeValue)
    return found


def test_a_large_value_is_all_of_its_entry_but_the_bytes(kept: Kept):
    entry, found = kept.store.get("large"), peeked(kept.store)

    assert isinstance(entry, Entry)
    assert (found.key, found.size) == ("large", len(VALUE))
    assert found[3:] == entry[2:]


def test_a_value_is_large_above_its_bound(tmp_path: Path):
    store = open_log_store(tmp_path / "data", StoreSettings(sync="never"))
    store.commit(
        Txn([Put("at", bytes(LARGE_VALUE_BYTES)), Put("above", bytes(LARGE_VALUE_BYTES + 1))])
    )

    assert isinstance(store.peek("at"), Entry)
    assert isinstance(store.peek("above"), LargeValue)
    assert store.peek("none") is None
    store.close()


def test_pieces_are_the_value(kept: Kept):
    pieces = peeked(kept.store).pieces
    pieces.verify()
    data, start = b"", 0
    while start < len(VALUE):
        piece = pieces.read(start, 100_000)
        assert 0 < len(piece) <= 100_000
        data, start = data + piece, start + len(piece)

    assert data == VALUE


@pytest.mark.parametrize("place", [0, PIECE_BYTES, len(VALUE) - 1])
def test_damage_is_an_error_before_anything_is_sent(kept: Kept, api, place: int):
    kept.damage(place)

    for headers in ({}, {"Range": "bytes=5-9"}):
        answer = api.simulate_get("/v1/kv/large", headers=headers)
        assert (answer.status_code, answer.json["type"]) == (500, "/problems/damaged")


def test_damage_is_an_error_where_the_whole_value_is_read(kept: Kept):
    kept.damage(PIECE_BYTES + 7)

    with pytest.raises(Damaged):
        kept.store.get("large")


def test_damage_that_comes_while_a_value_is_sent_is_never_sent(kept: Kept):
    pieces = peeked(kept.store).pieces
    pieces.verify()
    kept.damage(PIECE_BYTES + 7)

    assert pieces.read(0, PIECE_BYTES) == VALUE[:PIECE_BYTES]
    with pytest.raises(Damaged, match="changed"):
        pieces.read(PIECE_BYTES, 1)


def test_a_large_value_takes_a_few_pieces_of_memory(kept: Kept, api):
    def read() -> None:
        pieces = peeked(kept.store).pieces
        pieces.verify()
        for start in range(0, len(VALUE), PIECE_BYTES):
            pieces.read(start, PIECE_BYTES)

    assert peak_of(read) < 5 * PIECE_BYTES
    assert peak_of(lambda: api.simulate_head("/v1/kv/large")) < 2 * PIECE_BYTES


@pytest.mark.parametrize("asked", ["0-0", "131071-131073", "-1", "5-", "2000000-9999999"])
def test_ranges_are_those_of_the_whole(kept: Kept, api, asked: str):
    first, _, last = asked.partition("-")
    begin = int(first) if first else len(VALUE) - int(last)
    end = int(last) + 1 if first and last else len(VALUE)

    answer = api.simulate_get("/v1/kv/large", headers={"Range": f"bytes={asked}"})

    assert answer.status_code == 206
    assert answer.content == VALUE[begin:end]


def test_a_large_value_that_compaction_moves_is_still_read(tmp_path: Path):
    settings = StoreSettings(sync="never", keep_for_s=0, keep_versions=1, segment_records_max=2)
    store = open_log_store(tmp_path / "data", settings)
    store.commit(Txn([Put("large", VALUE)]))
    for number in range(10):
        store.commit(Txn([Put("other", b"%d" % number)]))
    pieces = peeked(store).pieces
    store.compact(wait=True)

    pieces.verify()
    assert pieces.read(0, 10) == VALUE[:10]
    assert store.get("large").value == VALUE
    store.close()


def test_a_condition_on_a_large_value_is_decided_without_reading_it(kept: Kept, api):
    tag = api.simulate_head("/v1/kv/large").headers["ETag"]
    kept.damage(3)

    assert api.simulate_get("/v1/kv/large", headers={"If-None-Match": tag}).status_code == 304
    assert api.simulate_get("/v1/kv/large", headers={"If-Match": '"1-x"'}).status_code == 412
