"""Test that what an export writes, an import reads back, whatever pieces it comes in."""

from __future__ import annotations

import gzip
import random
from collections.abc import Iterator

import pytest

from rundlet_server.functions.transfer.exporting import Export
from rundlet_server.functions.transfer.formats import EXPORTED, Format, OnConflict
from rundlet_server.functions.transfer.gzipped import BadGzip, compressed, decompressed
from rundlet_server.functions.transfer.importing import Import, KeyExists
from rundlet_server.functions.transfer.readers import reader_of
from rundlet_server.functions.transfer.rows import Rows, Rules
from rundlet_server.functions.transfer.writing import writer_of
from rundlet_server.storage.interface import Entry, Limits, Put, Store, Txn
from rundlet_server.storage.opening import open_log_store
from rundlet_server.storage.settings import StoreSettings

LATER_US = 4_000_000_000_123_457
KEY_PARTS = ["a", "é", "\n", "\r\n", '"', ",", " ", "\0", "\ufeff", "𝄞", "\u2028", "\\", "\t", "=1"]
TYPES = ["text/plain", "text/plain; charset=utf-8", "application/json", "x/rare", 'a/b; c="d"']


def opened(folder) -> Store:
    return open_log_store(folder, StoreSettings(sync="never"))


def random_puts(seed: int) -> list[Put]:
    chance = random.Random(seed)
    puts = {}
    for _ in range(chance.randrange(1, 60)):
        key = "".join(chance.choices(KEY_PARTS, k=chance.randrange(1, 6)))
        text = "".join(chance.choices([*KEY_PARTS, "x" * 50], k=chance.randrange(0, 30))).encode()
        value = text if chance.random() < 0.6 else chance.randbytes(chance.randrange(0, 200))
        if chance.random() < 0.02:
            value *= 20_000
        expires_us = LATER_US + chance.randrange(10**9) if chance.random() < 0.3 else None
        puts[key] = Put(key, value, chance.choice(TYPES), expires_us=expires_us)
    return list(puts.values())


def contents(store: Store) -> list[tuple[object, ...]]:
    return [
        (entry.key, entry.value, entry.content_type, entry.expires_us) for entry in entries(store)
    ]


def entries(store: Store) -> Iterator[Entry]:
    page = store.scan(limit=10_000)
    for info in page.keys:
        entry = store.get(info.key)
        assert entry is not None
        yield entry


def cut(data: bytes, chance: random.Random) -> Iterator[bytes]:
    while data:
        size = chance.choice([1, 2, 7, 100, 5_000, 1_000_000])
        yield data[:size]
        data = data[size:]


def read(name: Format, pieces, limits: Limits | None = None, **rules: bool) -> list[Rows]:
    reader = reader_of(name, Rules(limits or Limits(), **rules))
    return [*(reader.feed(piece) for piece in pieces), reader.end()]


def bad_of(parts: list[Rows]) -> list[tuple[int, str]]:
    return [(bad.line, bad.reason) for part in parts for bad in part.bad]


def keys_of(parts: list[Rows]) -> list[bytes]:
    return [row[0] for part in parts for row in part.rows]


@pytest.mark.parametrize("name", EXPORTED)
@pytest.mark.parametrize("seed", range(8))
def test_what_is_exported_is_imported_again_as_it_was(name: Format, seed: int, tmp_path):
    chance = random.Random(seed)
    first, second = opened(tmp_path / "first"), opened(tmp_path / "second")
    for put in random_puts(seed):
        first.commit(Txn([put]))

    exported = b"".join(Export(first, writer_of(name), prefix="", at=None))
    parts = read(name, cut(exported, chance))
    run = Import(second)
    for part in parts:
        run.add(part)
    run.flush()

    assert bad_of(parts) == []
    assert contents(second) == contents(first)
    assert (run.imported, run.skipped) == (first.count(), 0)
    first.close()
    second.close()


@pytest.mark.parametrize("name", EXPORTED)
def test_an_export_that_is_cut_and_marked_is_refused(name: Format, tmp_path):
    store = opened(tmp_path / "data")
    store.commit(Txn([Put(key, b"value", "text/plain") for key in "abc"]))
    writer = writer_of(name)
    exported = b"".join(Export(store, writer, prefix="", at=None))

    parts = read(name, [exported, writer.broken_end])

    assert keys_of(parts) == [b"a", b"b", b"c"]
    assert len(bad_of(parts)) == 1
    store.close()


@pytest.mark.parametrize("name", EXPORTED)
def test_an_export_that_is_cut_in_a_large_value_is_refused(name: Format, tmp_path):
    store = opened(tmp_path / "data")
    store.commit(Txn([Put("large", bytes(12 * 128 * 1024 + 1))]))  # the last piece is one byte
    writer = writer_of(name)
    pieces = list(Export(store, writer, prefix="", at=None))

    for count in range(len(pieces)):
        parts = read(name, [*pieces[:count], writer.broken_end])
        assert (keys_of(parts), len(bad_of(parts))) == ([], 1), count
    assert keys_of(read(name, pieces)) == [b"large"]
    store.close()


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        (b"name,value\n", "the header is not"),
        (b'"key"x,value\n', "not CSV"),
        (b"\xff,value\n", "not valid UTF-8"),
    ],
)
def test_rows_after_a_bad_csv_header_are_no_headers(header: bytes, reason: str):
    parts = read(Format.CSV, [header, b"key,value\n", b"a,1\n"])

    (_, first), *others = bad_of(parts)
    assert reason in first
    assert others == [(line, "there is no header that could be read") for line in (2, 3)]
    assert keys_of(parts) == []


def test_rows_after_a_csv_header_that_is_too_long_are_no_headers():
    limits = Limits(key_bytes_max=10, value_bytes_max=10)
    header = b"x" * (Rules(limits).row_bytes_max + 1)
    parts = read(Format.CSV, [header, b"x\n", b"key,value\n", b"a,1\n"], limits)

    (_, first), *others = bad_of(parts)
    assert "is longer than" in first
    assert {reason for _, reason in others} == {"there is no header that could be read"}
    assert keys_of(parts) == []


def test_an_export_is_of_one_snapshot(tmp_path):
    store = opened(tmp_path / "data")
    for start in range(0, 3_000, 1_000):
        store.commit(Txn([Put(f"{n:05}", b"old") for n in range(start, start + 1_000)]))
    export = Export(store, writer_of(Format.JSONL), prefix="", at=None)

    pieces = iter(export)
    exported = next(pieces)
    store.commit(Txn([Put("02999", b"new"), Put("02998/b", b"new")]))
    exported += b"".join(pieces)

    parts = read(Format.JSONL, [exported])
    assert len(keys_of(parts)) == 3_000
    assert {row[1] for part in parts for row in part.rows} == {b"old"}
    store.close()


@pytest.mark.parametrize(
    ("name", "data", "line", "reason"),
    [
        (Format.JSONL, b'{"key":"a","text":"v"}\n\nx\n', 3, "not JSON"),
        (Format.JSONL, b'{"key":"a","text":"v"}\n{"key":"b"}', 2, "exactly one of"),
        (Format.JSONL, b'{"key":"a","text":"v"}\n{"key":"","text":"v"}', 2, "key"),
        (Format.CSV, b'key,value\na,"x\ny"\nb\n', 4, "1 fields"),
        (Format.CSV, b"key,value\na,x\n,x\n", 3, "the key is empty"),
        (Format.CSV, b"key,value,encoding\na,x,\nb,?,base64\n", 3, "base64"),
        (Format.CSV, b"key,value\na,x\n\xff,x\n", 3, "UTF-8"),
        (Format.CBOR_SEQ, b"\xa2\x63key\x61a\x65value\x41v\x80", 2, "no map"),
        (Format.CBOR_SEQ, b"\xa2\x63key\x61a\x65value\x41v\xa1\x63key\x61a", 2, "'value'"),
        (Format.CBOR_SEQ, b"\xa2\x63key\x61a\x65value\x41v\xa2\x63key", 2, "ends within"),
        (Format.CBOR_SEQ, b"\xa2\x63key\x61a\x65value\x41v\xa1\x63key\x81", 2, "list"),
        (Format.TEXT, b"a v\nb\n", 2, "no space"),
    ],
)
@pytest.mark.parametrize("seed", range(3))
def test_a_bad_row_is_named_and_those_before_are_read(name, data, line, reason, seed):
    chance = random.Random(seed)
    parts = read(name, cut(data, chance), any_key=True)

    assert keys_of(parts)[0] == b"a"
    assert bad_of(parts)[0][0] == line
    assert reason in bad_of(parts)[0][1]


@pytest.mark.parametrize("name", [Format.JSONL, Format.TEXT, Format.CSV])
def test_a_line_without_end_takes_no_memory(name: Format):
    limits = Limits(key_bytes_max=64, value_bytes_max=1_000)
    reader = reader_of(name, Rules(limits, any_key=True))
    begin = b"key,value\n" if name is Format.CSV else b""

    parts = [reader.feed(begin)] + [reader.feed(b"x" * 10_000) for _ in range(100)]
    end = b"\n" + (b"" if name is Format.CSV else b'{"key":"a","text":"v"}\n')
    parts.append(reader.feed(end))

    assert len(bad_of(parts)) >= 1
    assert "longer than" in bad_of(parts)[0][1]


def test_gzip_is_read_in_any_pieces_and_in_several_members():
    data = random.Random(1).randbytes(100_000) + bytes(3_000_000)
    packed = gzip.compress(data) + b"".join(compressed([data]))

    for size in (1_000, 65_536, len(packed)):
        pieces = [packed[at : at + size] for at in range(0, len(packed), size)]
        unpacked = list(decompressed(pieces))
        assert b"".join(unpacked) == data + data
        assert max(map(len, unpacked)) <= 256 * 1024


@pytest.mark.parametrize(
    "packed",
    [
        b"",
        b"no gzip",
        gzip.compress(b"x" * 100_000, mtime=0)[:-1],
        gzip.compress(b"x" * 100_000, mtime=0)[:-9]
        + b"\0"
        + gzip.compress(b"x" * 100_000, mtime=0)[-8:],
        gzip.compress(b"", mtime=0) * 2_000,
    ],
)
def test_what_is_no_whole_gzip_is_refused(packed):
    with pytest.raises(BadGzip):
        list(decompressed([packed] if packed else []))


def rows_of(*keys: str) -> Rows:
    rows = Rows()
    for line, key in enumerate(keys, start=1):
        rows.add(line, (key.encode(), b"new", "text/plain"), None)
    return rows


def test_keys_that_exist_are_skipped(tmp_path):
    store = opened(tmp_path / "data")
    store.commit(Txn([Put("b", b"old"), Put("d", b"old")]))
    run = Import(store, OnConflict.SKIP)

    run.add(rows_of("a", "b", "c", "d", "a"))
    run.flush()

    assert (run.imported, run.skipped) == (2, 3)
    found = {entry.key: entry.value for entry in entries(store)}
    assert found == {"a": b"new", "b": b"old", "c": b"new", "d": b"old"}
    store.close()


@pytest.mark.parametrize(("keys", "line"), [("abcd", 3), ("aba", 3), ("c", 1)])
def test_a_key_that_exists_ends_an_import_that_shall_fail(keys, line, tmp_path):
    store = opened(tmp_path / "data")
    store.commit(Txn([Put("c", b"old")]))
    run = Import(store, OnConflict.FAIL)

    run.add(rows_of(*keys))
    with pytest.raises(KeyExists) as caught:
        run.flush()

    assert caught.value.line == line
    assert run.imported == line - 1
    assert store.count() == line if "c" not in keys[: line - 1] else line
    store.close()


def test_what_has_expired_is_left_out_and_replaces_nothing(tmp_path):
    store = opened(tmp_path / "data")
    store.commit(Txn([Put("a", b"old")]))
    rows = Rows()
    rows.add(1, (b"a", b"new", "text/plain"), 1_000)
    rows.add(2, (b"b", b"new", "text/plain"), LATER_US)
    run = Import(store)

    run.add(rows)
    run.flush()

    assert (run.imported, run.skipped) == (1, 1)
    assert {e.key: (e.value, e.expires_us) for e in entries(store)} == {
        "a": (b"old", None),
        "b": (b"new", LATER_US),
    }
    store.close()
