"""Test the client against the real API behind a real WSGI server."""

from __future__ import annotations

import os
import random
import ssl
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rundlet import (
    Add,
    BadRequest,
    Client,
    Compacted,
    Condition,
    Conflict,
    Damaged,
    Delete,
    KeyInfo,
    PreconditionFailed,
    Put,
    ReadOnly,
    Restore,
    TooLarge,
    Touch,
    Unavailable,
    Value,
)
from rundlet_server.functions.settings import ServerSettings
from rundlet_server.storage import errors
from rundlet_server.storage.interface import Entry, Limits
from tests.support.models.model import Clock, ModelStore
from tests.support.wire.served_model import served

AWKWARD_KEYS = [
    ".",
    "..",
    "a/../b",
    "./a",
    "//x",
    "/",
    "a/",
    "a//b",
    "nul\x00",
    "line\nbreak",
    "cr\r",
    "tab\t",
    "\x7f",
    "\u0085",
    "\u2028",
    "\ufeff",
    "🗝️",
    "é",
    "e\u0301",
    "-x",
    "--json",
    "%41",
    "%",
    "%zz",
    "+",
    "a+b c",
    "?#",
    "?rev=1",
    "a;b",
    "\\",
    " ",
    " a ",
    "'\"<>",
    "v1/kv/a",
    "x" * 2_048,
    "é" * 1_024,
]
AWKWARD_VALUES = [
    b"",
    b"\x00",
    b"\xff\xfe",
    b"\r\n",
    b"a" * 70_000,
    random.Random(1).randbytes(9_999),
]


@pytest.fixture
def store() -> ModelStore:
    return ModelStore(Clock())


@pytest.fixture
def client(store: ModelStore) -> Iterator[Client]:
    with served(store) as url, Client(url) as client:
        yield client


@pytest.mark.parametrize("key", AWKWARD_KEYS)
def test_every_key_is_stored_under_its_own_name(client, store, key):
    client.set(key, b"v")

    value = client.get(key)
    assert value is not None
    assert value.data == b"v"
    assert [info.key for info in client.scan()] == [key]
    assert store.get(key) is not None
    assert client.mget([key])[0] is not None
    assert client.delete(key)
    assert client.get(key) is None


@given(key=st.text(min_size=1, max_size=300), data=st.binary(max_size=100))
@settings(
    max_examples=300,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],  # the keys may well meet
)
def test_any_text_is_a_key(client, store, key, data):
    client.set(key, data)

    entry = store.get(key)
    assert entry is not None
    assert entry.value == data
    assert client.get_bytes(key) == data


def test_awkward_keys_do_not_get_into_each_others_way(client):
    for key in AWKWARD_KEYS:
        client.set(key, key)

    values = client.mget(AWKWARD_KEYS)

    assert [value.text for value in values] == AWKWARD_KEYS
    assert [info.key for info in client.scan()] == sorted(AWKWARD_KEYS, key=str.encode)


@pytest.mark.parametrize("data", AWKWARD_VALUES)
def test_values_come_back_byte_by_byte(client, data):
    client.set("k", data)
    client.txn([Put("t", data)])

    assert client.get_bytes("k") == client.get_bytes("t") == data
    assert [value.data for value in client.mget(["k", "t"])] == [data, data]
    assert [info.value.data for info in client.scan(values=True)] == [data, data]


def test_a_large_value_comes_back_byte_by_byte(client):
    data = os.urandom(5_000_000)

    client.set("large", data)

    assert client.get_bytes("large") == data


def test_a_value_tells_all_about_itself(client):
    client.set("k", "first")
    written = client.set("k", "second", ttl=60)

    value = client.get("k")

    assert value is not None
    assert (value.text, bytes(value)) == ("second", b"second")
    assert (value.revision, value.version) == (written.revision, written.version)
    assert value.version == 2
    assert value.etag == written.etag
    assert value.content_type == "text/plain; charset=utf-8"
    assert value.modified is not None
    assert value.expires is not None
    assert value.expires.tzinfo == UTC
    assert abs(value.expires - value.modified - timedelta(seconds=60)) < timedelta(seconds=1)


def test_a_missing_key_is_none(client):
    assert client.get("k") is None
    assert client.get_bytes("k") is None
    assert client.delete("k") is False
    assert client.mget(["k"]) == [None]


def test_an_earlier_revision_can_be_read(client):
    first = client.set("k", b"1")
    client.set("k", b"2")

    value = client.get("k", revision=first.revision)

    assert value is not None
    assert value.data == b"1"


def test_a_forgotten_revision_is_compacted(client, store):
    first = client.set("k", b"1")
    second = client.set("k", b"2")
    store.forget_before(second.revision)

    with pytest.raises(Compacted) as caught:
        client.get("k", revision=first.revision)

    assert caught.value.oldest_revision == second.revision


def test_a_key_that_is_there_is_not_created_again(client):
    written = client.set("k", b"1", if_absent=True)

    with pytest.raises(PreconditionFailed) as caught:
        client.set("k", b"2", if_absent=True)

    assert caught.value.revision == written.revision
    assert client.get_bytes("k") == b"1"


def test_a_write_can_demand_a_revision(client):
    first = client.set("k", b"1")
    second = client.set("k", b"2", if_revision=first.revision)
    assert second.version == 2

    with pytest.raises(PreconditionFailed) as caught:
        client.set("k", b"3", if_revision=first.revision)
    with pytest.raises(PreconditionFailed):
        client.delete("k", if_revision=first.revision)

    assert caught.value.revision == second.revision
    assert client.delete("k", if_revision=second.revision)


def test_a_write_can_demand_an_etag(client):
    first = client.set("k", b"1")
    second = client.set("k", b"2", if_match=first.etag)

    with pytest.raises(PreconditionFailed):
        client.set("k", b"3", if_match=first.etag)
    with pytest.raises(PreconditionFailed):
        client.delete("k", if_match=first.etag)

    assert client.delete("k", if_match=second.etag)


def test_two_preconditions_at_once_are_refused(client):
    with pytest.raises(BadRequest):
        client.set("k", b"", if_absent=True, if_revision=1)


def test_a_value_expires():
    clock = Clock()
    with served(ModelStore(clock)) as url, Client(url) as client:
        client.set("k", b"v", ttl=0.5)
        clock.advance(1)

        assert client.get("k") is None


@pytest.mark.parametrize("ttl", [0, -1, float("nan"), float("inf")])
def test_a_time_to_live_that_is_none_is_refused(client, ttl):
    with pytest.raises(BadRequest):
        client.set("k", b"v", ttl=ttl)


def test_a_content_type_is_kept(client):
    client.set("k", b"{}", content_type="application/json")

    value = client.get("k")

    assert value is not None
    assert value.content_type == "application/json"


@pytest.mark.parametrize("content_type", ["a\nb", "é", "a\r\nX: y"])
def test_a_content_type_that_is_no_header_is_refused(client, content_type):
    with pytest.raises(BadRequest):
        client.set("k", b"", content_type=content_type)


def test_a_transaction_does_all_its_writes(client):
    first = client.set("old", b"old")
    client.set("old", b"new")

    commit = client.txn(
        [
            Put("a", b"1", ttl=60),
            Delete("none"),
            Add("n", -5),
            Restore("old", first.version),
        ],
        conditions=[Condition("old", version=2, exists=True), Condition("b", exists=False)],
    )

    assert commit.succeeded
    assert [result.version for result in commit.results] == [1, None, 1, 3]
    assert commit.results[1].found is False
    assert commit.results[2].number == -5
    assert client.get_bytes("old") == b"old"
    assert {v.revision for v in client.mget(["a", "n", "old"])} == {commit.revision}


def test_a_touch_renews_and_removes_the_time_to_live(client):
    client.set("k", b"v", ttl=1)
    client.txn([Touch("k", 1_000)])
    renewed = client.mget(["k"])[0]
    client.txn([Touch("k")])
    freed = client.mget(["k"])[0]

    assert renewed.expires is not None
    assert freed.expires is None


def test_a_transaction_whose_conditions_fail_says_which(client):
    written = client.set("a", b"1")

    with pytest.raises(Conflict) as caught:
        client.txn(
            [Delete("a")],
            conditions=[Condition("a", exists=True), Condition("a", revision=0)],
        )

    (failed,) = caught.value.failed
    assert (failed.index, failed.key, failed.revision) == (1, "a", written.revision)
    assert client.get("a") is not None


def test_a_transaction_can_do_otherwise(client):
    commit = client.txn(
        [Put("a", b"then")], conditions=[Condition("a", exists=True)], otherwise=[Add("n")]
    )

    assert not commit.succeeded
    assert commit.results[0].number == 1
    assert client.get("a") is None


def test_an_operation_that_cannot_be_done_changes_nothing(client):
    client.set("text", b"abc")

    with pytest.raises(BadRequest, match="1"):
        client.txn([Put("a", b"1"), Add("text")])

    assert client.get("a") is None


def test_counting_from_many_threads_loses_nothing(client):
    with ThreadPoolExecutor(8) as pool:
        numbers = list(pool.map(lambda _: client.incr("n"), range(80)))

    assert sorted(numbers) == list(range(1, 81))
    assert client.incr("n", -80) == 0


def test_a_list_goes_over_all_pages_of_one_snapshot(client):
    for start in range(0, 2_500, 500):
        client.txn([Put(f"k{number:04}", b"v") for number in range(start, start + 500)])
    listed = client.scan()
    first = next(listed)
    client.set("k9999", b"late")

    infos = [first, *listed]

    assert [info.key for info in infos] == [f"k{number:04}" for number in range(2_500)]
    assert len(list(client.scan(limit=1_700))) == 1_700
    assert len(list(client.scan(limit=3))) == 3


def test_a_list_can_be_narrowed_turned_and_rolled_up(client):
    client.txn([Put(key, b"v") for key in ["a", "a/1", "a/2", "a0", "b/1", "c"]])

    def keys(infos: Iterator[KeyInfo]) -> list[str]:
        return [info.key for info in infos]

    assert keys(client.scan(prefix="a/")) == ["a/1", "a/2"]
    assert keys(client.scan(start="a0", end="c")) == ["a0", "b/1"]
    assert keys(client.scan(reverse=True, limit=2)) == ["c", "b/1"]
    assert keys(client.scan(delimiter="/")) == ["a", "a/", "a0", "b/", "c"]
    assert keys(client.scan(delimiter="/", reverse=True)) == ["c", "b/", "a0", "a/", "a"]
    assert [info.is_prefix for info in client.scan(delimiter="/")] == [
        False,
        True,
        False,
        True,
        False,
    ]


def test_a_list_is_as_of_a_revision(client):
    first = client.set("a", b"1")
    client.set("b", b"2")

    assert [info.key for info in client.scan(revision=first.revision)] == ["a"]


def test_a_list_with_values_carries_them(client):
    client.set("a", b"1", ttl=60)

    (info,) = client.scan(values=True)

    assert isinstance(info.value, Value)
    assert info.size == 1
    assert info.value.expires is not None
    assert info.value.expires > datetime(2000, 1, 1, tzinfo=UTC)


def test_what_is_too_large_says_by_how_much():
    limits = Limits(key_bytes_max=10, value_bytes_max=20, txn_ops_max=2)
    with served(ModelStore(limits=limits)) as url, Client(url) as client:
        with pytest.raises(TooLarge) as caught:
            client.set("k", b"x" * 21)
        assert (caught.value.limit, caught.value.got) == (20, 21)
        with pytest.raises(TooLarge):
            client.set("k" * 11, b"")
        with pytest.raises(TooLarge):
            client.txn([Put(str(number), b"") for number in range(3)])


def test_a_read_only_server_refuses_writes():
    with served(ModelStore(), ServerSettings(read_only=True)) as url, Client(url) as client:
        for write in (lambda: client.set("k", b""), lambda: client.incr("k"), client.compact):
            with pytest.raises(ReadOnly):
                write()
        assert client.info()["read_only"] is True


def test_the_server_tells_of_itself(client, store):
    client.set("k", b"abc")

    assert client.info()["backend"] == "log"
    assert client.stats()["keys"] == 1
    client.compact()
    assert store.compactions == 1


class FailingStore(ModelStore):
    """Raises what it is told to."""

    failure: Exception

    def get(self, key: str, *, at: int | None = None) -> Entry | None:  # noqa: ARG002 -- as in Store
        raise self.failure


@pytest.mark.parametrize(
    ("failure", "kind"),
    [
        (errors.Damaged("0001.log", 7, "bad checksum"), Damaged),
        (errors.Unavailable("replaying"), Unavailable),
    ],
)
def test_trouble_of_the_store_keeps_its_meaning(failure, kind):
    store = FailingStore()
    store.failure = failure
    with served(store) as url, Client(url, retries=0) as client, pytest.raises(kind) as caught:
        client.get("k")

    assert caught.value.request_id


def test_urls_lead_back_to_the_value(client):
    assert client.url_of("a b").endswith("/v1/kv/a%20b")
    assert client.url_of("..").endswith("/v1/kv64/Li4")
    assert client.url_of("a/", is_prefix=True).endswith("/v1/keys?prefix=a%2F")


@pytest.mark.parametrize(("scheme", "is_loaded"), [("http", False), ("https", True)])
def test_certificates_of_authorities_are_loaded_for_https_only(monkeypatch, scheme, is_loaded):
    loaded = []

    def note(_, cafile=None, capath=None, cadata=None):
        loaded.append(cafile or capath or cadata)

    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    monkeypatch.setattr(ssl.SSLContext, "load_verify_locations", note)

    Client(f"{scheme}://127.0.0.1:9").close()

    assert bool(loaded) == is_loaded


@pytest.mark.parametrize(
    ("mistake", "advice"),
    [
        (lambda client: client.set("k", {"a": 1}), "bytes or text, got dict; encode it, or let"),
        (lambda client: client.set("k", None), "bytes or text, got NoneType"),
        (lambda client: client.set_many({"k": 7}), "bytes or text, got int"),
        (lambda client: client.txn([Put("k", "text")]), "of a Put is bytes, got str; encode it"),
        (
            lambda client: client.import_([Put("k", "text")]),
            "of a Put is bytes, got str; encode it",
        ),
        (lambda client: client.set(b"k", "v"), "a key is text, got bytes"),
        (lambda client: client.get(7), "a key is text, got int"),
        (lambda client: client.mget("abc"), r"got the text 'abc'; write it as \['abc'\]"),
        (lambda client: client.delete_many("abc"), r"got the text 'abc'; write it as \['abc'\]"),
    ],
)
def test_a_mistake_in_types_says_what_to_do(client, mistake, advice: str):
    client.set("a", "v")

    with pytest.raises(TypeError, match=advice):
        mistake(client)

    assert [info.key for info in client.scan()] == ["a"]


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_whatever_is_like_bytes_is_a_value(client, kind):
    client.set("a", kind(b"v"))
    client.set_many({"b": kind(b"v")})
    client.txn([Put("c", kind(b"v"))])

    assert [bytes(value) for value in client.mget(["a", "b", "c"])] == [b"v"] * 3


def test_a_value_is_read_as_json(client):
    client.set("k", '{"a": [1, "é"]}')

    assert client.get("k").json() == {"a": [1, "é"]}
    client.set("k", "no")
    with pytest.raises(ValueError, match="Expecting value"):
        client.get("k").json()
