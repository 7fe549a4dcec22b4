"""Test ranges, heads, counts and operations on any number of keys, with both clients."""

from __future__ import annotations

from collections.abc import Iterator

import cbor2
import httpx
import pytest

from rundlet import BadRequest, Client, PreconditionFailed, ReadOnly, TooLarge
from rundlet.calls import batches, lists
from rundlet.calls.lists import Range
from rundlet_server.functions.settings import ServerSettings
from rundlet_server.storage.interface import Limits
from tests.support.models.model import Clock, ModelStore
from tests.support.wire.served_model import served

CBOR = {"Content-Type": "application/cbor"}


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


def test_any_number_of_keys_is_read_from_one_snapshot():
    limits = Limits(list_keys_max=700, answer_bytes_max=4_000)
    with served(ModelStore(limits=limits)) as url, Client(url) as client:
        names = [f"k{number:04}" for number in range(1_500)]
        client.set_many({name: bytes(100) for name in names})
        before = client.set("k1499", "old").revision
        client.set("k1499", "new")

        found = client.mget(names)
        earlier = client.mget(names, revision=before)

        assert [value.key for value in found] == names
        assert (found[-1].text, earlier[-1].text) == ("new", "old")
        assert client.mget([]) == []


def test_a_later_request_for_many_keys_is_of_the_snapshot_of_the_first():
    call = batches.mget(["a", "b", "c"])
    asked = [next(call), call.throw(TooLarge("list_keys_max is 2", limit=2, got=3))]

    items = [{"key": key, "found": False} for key in "ab"]
    body = cbor2.dumps({"revision": 7, "items": items})
    asked.append(call.send(httpx.Response(200, content=body, headers=CBOR)))

    bodies = [cbor2.loads(each.body) for each in asked]
    assert [each["keys"] for each in bodies] == [["a", "b", "c"], ["a", "b"], ["c"]]
    assert [each.get("rev") for each in bodies] == [None, None, 7]


def test_a_prefix_is_deleted_by_the_server_in_one_request():
    call = lists.delete_prefix("p/", match="*.tmp", expect=None, progress=None)
    asked = [next(call), call.send(httpx.Response(200, headers={"KV-Count": "2"}))]
    body = cbor2.dumps({"revision": 9, "deleted": 2})

    with pytest.raises(StopIteration) as ended:
        call.send(httpx.Response(200, content=body, headers=CBOR))

    assert [(each.method, each.path, each.is_write) for each in asked] == [
        ("HEAD", "/v1/keys?prefix=p%2F&match=%2A.tmp", False),
        ("DELETE", "/v1/keys?prefix=p%2F&match=%2A.tmp&expect=2", True),
    ]
    assert ended.value.value == 2


@pytest.mark.parametrize(("status", "tries"), [(405, 1), (413, 1), (412, 3)])
def test_a_prefix_is_deleted_by_names_if_the_server_does_not(status: int, tries: int):
    error = PreconditionFailed("others write keys") if status == 412 else BadRequest("too old")
    error.status = status
    call = lists.delete_prefix("p/", match=None, expect=None, progress=None)
    asked = next(call)
    for _ in range(tries):
        assert asked.method == "HEAD"
        assert call.send(httpx.Response(200, headers={"KV-Count": "2"})).method == "DELETE"
        asked = call.throw(error)

    assert (asked.method, asked.path) == ("GET", "/v1/keys?prefix=p%2F")


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
