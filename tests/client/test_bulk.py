"""Test ranges, heads, counts and operations on any number of keys, with both clients."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from rundlet import BadRequest, Client, PreconditionFailed, ReadOnly
from rundlet.calls import lists
from rundlet.calls.lists import Range
from rundlet_server.functions.settings import ServerSettings
from rundlet_server.storage.interface import Limits
from tests.support.models.model import Clock, ModelStore
from tests.support.wire.served_model import served


@pytest.fixture
def store(clock: Clock) -> ModelStore:
    return ModelStore(clock)


@pytest.fixture
def client(store: ModelStore) -> Iterator[Client]:
    with served(store) as url, Client(url) as client:
        yield client


@pytest.mark.parametrize(
    ("start", "end"),
    [(0, 3), (2, 4), (None, 4), (7, None), (-3, None), (-30, None), (3, 3), (5, 2), (10, 12),
     (50, None), (0, 99), (0, 0), (0, None)],
)  # fmt: skip
def test_a_part_of_a_value_is_what_a_slice_is(client, start, end):
    data = b"0123456789"
    written = client.set("k", data)

    part = client.get("k", start=start, end=end)

    assert part.data == data[start:end]
    assert (part.size, part.revision, part.etag) == (10, written.revision, written.etag)


def test_a_part_of_an_earlier_value_can_be_read(client):
    client.set("k", b"earlier")
    client.set("k", b"later")

    assert client.get("k", version=1, start=2, end=5).data == b"rli"
    assert client.get("k", version=1, start=7).data == b""


def test_a_part_of_nothing_is_empty_and_a_part_of_no_value_is_none(client):
    client.set("empty", b"")

    assert client.get("empty", start=0, end=4).data == b""
    assert client.get("empty", start=-4).data == b""
    assert client.get("none", start=0, end=4) is None
    assert client.get("none", start=4, end=4) is None


def test_a_start_from_the_end_has_no_end(client):
    with pytest.raises(BadRequest, match="leave end out"):
        client.get("k", start=-3, end=2)


def test_a_head_says_what_a_value_is(client):
    written = client.set("a/../b", b"12345", ttl=60, content_type="x/y")

    info = client.head("a/../b")

    value = client.get("a/../b")
    assert (info.key, info.size, info.content_type) == ("a/../b", 5, "x/y")
    assert (info.revision, info.version, info.etag) == (written.revision, 1, written.etag)
    assert (info.time, info.expires) == (value.modified, value.expires)
    assert info.value is None
    assert client.head("none") is None
    assert client.head("a/../b", version=2) is None


def test_keys_exist_or_not(client):
    client.set("k", b"")

    assert client.exists("k") is True
    assert client.exists("k/none") is False


def test_touch_says_whether_there_is_a_value(client):
    client.set("k", b"v")

    assert client.touch("k", 60) is True
    assert client.head("k").expires is not None
    assert client.touch("k") is True
    assert client.head("k").expires is None
    assert client.touch("none", 60) is False


def test_keys_are_counted(client):
    client.set_many(dict.fromkeys(["a", "a/1", "a/2", "a/x/1", "b"], b""))
    before = client.info()["revision"]
    client.delete("b")

    assert client.count() == 4
    assert client.count(prefix="a/") == 3
    assert client.count(start="a/2", end="b") == 2
    assert client.count(prefix="a/", match="?") == 2
    assert client.count(prefix="a/", match="*1") == 2
    assert client.count(revision=before) == 5


def test_keys_are_matched_after_the_prefix(client):
    keys = [f"u/{number}/name" for number in range(2_500)] + ["u/x", "u/[", "v/1/name"]
    client.set_many((key, b"v") for key in keys)

    def found(match: str, **options: object) -> list[str]:
        return [info.key for info in client.scan(prefix="u/", match=match, **options)]

    assert found("24?9/name") == [f"u/24{digit}9/name" for digit in range(10)]
    assert found("[!0-9]*") == ["u/[", "u/x"]
    assert found("[[]") == ["u/["]
    assert found("*/name", reverse=True, limit=2) == ["u/999/name", "u/998/name"]
    assert len(found("*/name", limit=1_200)) == 1_200
    with pytest.raises(BadRequest, match="match and delimiter"):
        found("*", delimiter="/")


def test_the_server_matches_so_other_keys_are_not_sent():
    keys = Range("u/", match="[a-c]*")

    counted = next(lists.count(keys))
    listed = next(lists.scan(keys, limit=2))

    assert (counted.method, counted.path) == ("HEAD", "/v1/keys?prefix=u%2F&match=%5Ba-c%5D%2A")
    assert listed.path == "/v1/keys?prefix=u%2F&match=%5Ba-c%5D%2A&limit=2"


def test_a_prefix_is_deleted_however_many_keys_it_has(client):
    client.set_many({f"p/{number:04}": b"" for number in range(2_300)} | {"p": b"", "q": b""})
    counts: list[int] = []

    deleted = client.delete_prefix("p/", progress=counts.append)

    assert deleted == 2_300
    assert counts == sorted(counts)
    assert counts[-1] == 2_300
    assert [info.key for info in client.scan()] == ["p", "q"]
    assert client.delete_prefix("p/") == 0


def test_a_prefix_is_deleted_where_it_matches(client):
    client.set_many({"p/a.tmp": b"", "p/b": b"", "a.tmp": b""})

    assert client.delete_prefix("p/", match="*.tmp") == 1
    assert [info.key for info in client.scan()] == ["a.tmp", "p/b"]


def test_a_prefix_is_deleted_if_it_has_as_many_keys_as_expected(client):
    client.set_many({"p/1": b"", "p/2": b"", "p/3": b"", "q": b""})
    counts: list[int] = []

    with pytest.raises(PreconditionFailed, match="3 keys to delete and not 2"):
        client.delete_prefix("p/", expect=2)
    deleted = client.delete_prefix("p/", match="[12]", expect=2, progress=counts.append)

    assert (deleted, counts) == (2, [2])
    assert [info.key for info in client.scan()] == ["p/3", "q"]


def test_all_keys_are_no_prefix(client):
    client.set("k", b"")

    with pytest.raises(BadRequest, match="delete_many"):
        client.delete_prefix("")

    assert client.exists("k")


def test_many_values_are_stored_and_deleted(client):
    values = {f"k{number:05}": f"v{number}" for number in range(3_000)}
    counts: list[int] = []

    stored = client.set_many(values, ttl=60, progress=counts.append)

    assert (stored, counts[-1]) == (3_000, 3_000)
    value = client.get("k00007")
    assert (value.text, value.content_type) == ("v7", "text/plain; charset=utf-8")
    assert value.expires is not None
    assert client.delete_many([*values, "none", "k00007"], progress=counts.append) == 3_000
    assert client.count() == 0
    assert client.set_many({}) == 0
    assert client.delete_many([]) == 0


def test_bulk_fits_into_the_limits_of_the_server():
    limits = Limits(key_bytes_max=20, value_bytes_max=500, txn_ops_max=7, txn_bytes_max=2_000)
    with served(ModelStore(limits=limits)) as url, Client(url) as client:
        values = {f"k{number:05}": bytes(500) for number in range(2_500)}

        assert client.set_many(values) == 2_500
        assert client.count() == 2_500
        assert client.delete_prefix("k0000") == 10
        assert client.delete_many(values) == 2_490


def test_one_value_that_is_too_large_ends_bulk_with_how_far_it_came():
    limits = Limits(value_bytes_max=500)
    with served(ModelStore(limits=limits)) as url, Client(url) as client:
        with pytest.raises(BadRequest) as caught:
            client.set_many([("a", b""), ("b", b""), ("c", bytes(501)), ("d", b"")])

        assert (caught.value.imported, caught.value.line) == (2, 3)


def test_a_read_only_server_refuses_bulk():
    with served(ModelStore(), ServerSettings(read_only=True)) as url, Client(url) as client:
        for write in (
            lambda: client.set_many({"k": b""}),
            lambda: client.delete_many(["k"]),
            lambda: client.touch("k"),
        ):
            with pytest.raises(ReadOnly):
                write()
