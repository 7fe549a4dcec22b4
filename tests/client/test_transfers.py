"""Test exports and imports with the client."""

from __future__ import annotations

import io
import random
from datetime import UTC, datetime
from pathlib import Path

import cbor2
import pytest

from rundlet import Client, Conflict, ConnectionFailed, Put, Value
from rundlet_server.storage.errors import Damaged
from tests.support.models.model import ModelStore
from tests.support.wire.served_model import served

EXPIRES = datetime(2100, 1, 2, 3, 4, 5, 678901, UTC)


def shown(value: Value) -> tuple[object, ...]:
    return value.key, value.data, value.content_type, value.expires


def test_a_store_is_copied_by_export_and_import():
    chance = random.Random(1)
    rows = [Value(f"k{n:04}", chance.randbytes(n % 500), 1, 1, "x/y", None) for n in range(2_000)]
    rows.append(Value("l/é", b"large" * 200_000, 1, 1, "text/plain", EXPIRES))
    counts: list[int] = []
    with served(ModelStore()) as url, served(ModelStore()) as other_url:
        client, other = Client(url), Client(other_url)
        done = client.import_(iter(rows), progress=counts.append)
        copied = other.import_(client.export())

        assert (done.imported, copied.imported) == (2_001, 2_001)
        assert counts[-1] == 2_001
        assert [shown(value) for value in other.export()] == [shown(row) for row in rows]
        assert [value.key for value in other.export(prefix="l/")] == ["l/é"]
        assert other.count(prefix="k") == 2_000
        assert len(b"".join(client.export_bytes("jsonl", prefix="k")).splitlines()) == 2_000
        assert len(list(cbor_items(b"".join(client.export_bytes("cbor-seq"))))) == 2_001
        client.close()
        other.close()


def cbor_items(data: bytes):
    stream = io.BytesIO(data)
    while stream.tell() < len(data):
        yield cbor2.CBORDecoder(stream).decode()


class BreakingStore(ModelStore):
    """A store whose second page of a list cannot be read, if asked for that."""

    is_broken = False

    def scan(self, **options):
        if self.is_broken and options.get("after"):
            raise Damaged(Path("x.log"), 0, "planted")
        return super().scan(**options)


def test_a_key_that_exists_ends_an_import_with_how_far_it_came():
    with served(ModelStore()) as url, Client(url) as client:
        client.set("c", "old")

        with pytest.raises(Conflict) as caught:
            client.import_([Put(key, b"new") for key in "abcd"], on_conflict="fail")

        assert (caught.value.line, caught.value.imported) == (3, 2)
        assert client.import_([Put("c", b"x")], on_conflict="skip").skipped == 1
        assert client.get_bytes("c") == b"old"


@pytest.mark.parametrize("name", ["jsonl", "csv", "cbor-seq"])
def test_an_export_that_breaks_off_is_an_error(name):
    store = BreakingStore()
    with served(store) as url, Client(url, retries=0) as client:
        client.import_([Put(f"{n:05}", b"v\xff") for n in range(1_500)])
        store.is_broken = True

        with pytest.raises(ConnectionFailed):
            list(client.export_bytes(name))
        with pytest.raises(ConnectionFailed):
            list(client.export())
