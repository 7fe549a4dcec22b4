"""Test ``?rev=``, ``?at=`` and ``?version=``: on values, lists and mget."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import falcon.testing
import pytest

from rundlet_server.functions.app import create_app
from rundlet_server.functions.messages.moments import time_us_of
from rundlet_server.storage.address import StoreAddress
from rundlet_server.storage.interface import Delete, Op, Put, Store, Txn
from rundlet_server.storage.opening import StoreOptions, open_store
from rundlet_server.storage.settings import StoreSettings
from tests.support.models.model import START_US, Clock, ModelStore

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def time_at(seconds: float) -> str:
    """The time of the clock after so many seconds, as a request has it."""
    moment = _EPOCH + timedelta(microseconds=START_US, seconds=seconds)
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")


def do(store: Store, *ops: Op) -> int:
    return store.commit(Txn(ops)).revision


@pytest.fixture
def told(api_store: Store, clock: Clock) -> Store:
    """``a`` is 1, 2 and 33, a second apart, then deleted; ``b`` is there from second 2 on."""
    for second, value in enumerate((b"1", b"2", b"33")):
        do(api_store, Put("a", value, "text/plain"), *([Put("b", b"b")] if second == 2 else ()))
        clock.advance(1)
    do(api_store, Delete("a"))
    clock.advance(1)
    return api_store


@pytest.mark.parametrize(
    ("query", "value"),
    [
        ("rev=1", b"1"),
        ("rev=2", b"2"),
        (f"at={time_at(0)}", b"1"),
        (f"at={time_at(0.999999)}", b"1"),
        (f"at={time_at(1)}", b"2"),
        (f"at={time_at(2.5)}", b"33"),
        ("version=1", b"1"),
        ("version=3", b"33"),
    ],
)
def test_value_is_read_as_it_was(api, told: Store, query: str, value: bytes):
    read = api.simulate_get("/v1/kv/a", query_string=query)
    head = api.simulate_head("/v1/kv64/YQ", query_string=query)

    assert (read.status_code, read.content) == (200, value)
    assert head.headers["ETag"] == read.headers["ETag"]
    assert head.headers["Content-Length"] == str(len(value))


@pytest.mark.parametrize(
    "query",
    [
        *("rev=0", "rev=4", "version=4"),
        *(f"at={time_at(-1)}", f"at={time_at(3)}", "at=1066-10-14T09:00:00Z"),
    ],
)
def test_value_that_was_not_there_is_404(api, told: Store, query: str):
    assert api.simulate_get("/v1/kv/a", query_string=query).status_code == 404


@pytest.mark.parametrize(
    "query",
    [
        "rev=5",
        "version=0",
        "version=x",
        f"at={time_at(4.000001)}",
        "at=yesterday",
        "at=",
        "at=2023-11-14",
        "at=2023-11-14T22:13:20",
        "at=2023-11-14T22:13:60Z",
        "at=2023-02-30T22:13:20Z",
        "at=2023-11-14T22:13:20+01:00",
        f"rev=1&at={time_at(1)}",
        "rev=1&version=1",
        f"version=1&at={time_at(1)}",
    ],
)
def test_place_that_is_none_or_not_one_is_400(api, told: Store, query: str):
    answer = api.simulate_get("/v1/kv/a", query_string=query)

    assert answer.status_code == 400
    assert answer.headers["Content-Type"] == "application/problem+json"


def test_old_value_has_ranges_and_preconditions(api, told: Store):
    whole = api.simulate_get("/v1/kv/a?version=3")
    same = {"If-None-Match": whole.headers["ETag"]}

    part = api.simulate_get("/v1/kv/a?version=3", headers={"Range": "bytes=1-"})

    assert (part.status_code, part.content) == (206, b"3")
    assert part.headers["Content-Range"] == "bytes 1-1/2"
    assert api.simulate_get(f"/v1/kv/a?at={time_at(2)}", headers=same).status_code == 304
    assert api.simulate_get("/v1/kv/a?rev=1", headers=same).status_code == 200
    other = {"If-Match": whole.headers["ETag"]}
    assert api.simulate_get("/v1/kv/a?rev=1", headers=other).status_code == 412


def test_value_that_had_expired_by_then_is_absent_and_one_that_expired_since_is_not(
    api, api_store: Store, clock: Clock
):
    revision = do(api_store, Put("a", b"1", ttl_s=1))
    clock.advance(5)

    def status(query: str) -> int:
        return api.simulate_get("/v1/kv/a", query_string=query).status_code

    assert status("") == 404
    assert status(f"rev={revision}") == status(f"at={time_at(0.9)}") == 200
    assert status(f"at={time_at(1)}") == 404


def test_writes_take_no_place(api, told: Store):
    for query in ("rev=1", f"at={time_at(1)}", "version=1"):
        assert api.simulate_put("/v1/kv/a", query_string=query, body=b"1").status_code == 400
        assert api.simulate_delete("/v1/kv/b", query_string=query).status_code == 400


def test_list_and_count_are_those_of_the_time(api, told: Store):
    def keys(query: str) -> list[str]:
        page = api.simulate_get("/v1/keys", query_string=query)
        count = api.simulate_head("/v1/keys", query_string=query).headers["KV-Count"]
        assert int(count) == len(page.json["keys"])
        return [info["key"] for info in page.json["keys"]]

    assert keys(f"at={time_at(-1)}") == []
    assert keys(f"at={time_at(0)}") == keys("rev=1") == ["a"]
    assert keys(f"at={time_at(2.5)}") == keys("rev=3") == ["a", "b"]
    assert keys(f"at={time_at(3)}") == keys("") == ["b"]


def test_all_pages_of_a_list_at_a_time_are_of_that_time(api, told: Store, clock: Clock):
    page = api.simulate_get("/v1/keys", params={"at": time_at(2), "limit": 1, "include": "value"})
    do(told, Put("b", b"later"))
    clock.advance(1)

    rest = api.simulate_get(page.json["next"])

    assert page.json["revision"] == rest.json["revision"] == 3
    assert rest.json["keys"][0]["base64"] == "Yg=="
    both = api.simulate_get(f"{page.json['next']}&at={time_at(2)}")
    assert both.status_code == 400


def test_list_takes_one_place(api, told: Store):
    for query in (f"rev=1&at={time_at(1)}", "version=1", f"at={time_at(9)}", "at=x"):
        for method in ("GET", "HEAD"):
            answer = api.simulate_request(method, "/v1/keys", query_string=query)
            assert answer.status_code == 400


def mget(api: falcon.testing.TestClient, **members: object) -> falcon.testing.Result:
    return api.simulate_post("/v1/mget", json={"keys": ["a", "b"], **members})


def test_many_values_are_those_of_the_time(api, told: Store):
    texts = {
        place: [item.get("text") for item in mget(api, **{name: place}).json["items"]]
        for name, place in (("at", time_at(1)), ("rev", 1), ("at", time_at(3)))
    }

    assert texts == {time_at(1): ["2", None], 1: ["1", None], time_at(3): [None, None]}
    assert mget(api, at=time_at(2.5)).json["revision"] == 3
    assert mget(api, at=None, rev=None).json["revision"] == 4


@pytest.mark.parametrize(
    ("members", "status"),
    [
        ({"rev": 1, "at": time_at(0)}, 422),
        ({"at": "yesterday"}, 422),
        ({"at": 7}, 422),
        ({"at": time_at(99)}, 400),
    ],
)
def test_mget_takes_one_place(api, told: Store, members: dict[str, object], status: int):
    assert mget(api, **members).status_code == status


def test_what_is_no_longer_kept_is_410(clock: Clock):
    store = ModelStore(clock)
    api = falcon.testing.TestClient(create_app(store))
    for value in (b"1", b"2", b"3"):
        do(store, Put("a", value))
        clock.advance(1)
    store.forget_before(2)

    answers = [
        api.simulate_get("/v1/kv/a?rev=1"),
        api.simulate_get(f"/v1/kv/a?at={time_at(0)}"),
        api.simulate_get(f"/v1/keys?at={time_at(0)}"),
        mget(api, at=time_at(0)),
        mget(api, rev=0),
    ]

    for answer in answers:
        assert answer.status_code == 410
        assert answer.json["type"] == "/problems/compacted"
        assert answer.json["oldest_revision"] == 2


def test_text_file_was_empty_before_it_was_written(tmp_path):
    path = tmp_path / "some.data"
    path.write_text("a 1\n")
    with_any_key = StoreOptions(StoreSettings(is_read_only=True), any_key=True)
    store = open_store(StoreAddress.parse(f"file:{path}"), with_any_key)
    api = falcon.testing.TestClient(create_app(store))

    def status(query: str) -> int:
        return api.simulate_get("/v1/kv/a", query_string=query).status_code

    assert [status("rev=1"), status("rev=0"), status("version=1")] == [200, 404, 200]
    assert [status("version=2"), status("at=2001-01-01T00:00:00Z")] == [404, 404]
    store.close()


@pytest.mark.parametrize(
    ("text", "time_us"),
    [
        ("1970-01-01T00:00:01Z", 1_000_000),
        ("1970-01-01t00:00:01.5z", 1_500_000),
        ("1970-01-01T00:00:01.0000019Z", 1_000_001),
        ("1970-01-01T02:00:01+02:00", 1_000_000),
        ("1969-01-01T00:00:00Z", 0),
        ("0001-01-01T00:00:00+23:59", 0),
        ("9999-12-31T23:59:59-23:59", 253_402_387_139_000_000),
        ("1970-01-01 00:00:01Z", None),
        ("1970-01-01T00:00:01", None),
        ("1970-01-01T00:00:01+0200", None),
        ("1970-01-01T00:00:01+99:00", None),
        ("1970-01-01T00:00Z", None),
        ("٢٠٢٣-01-01T00:00:00Z", None),
        ("1970-01-01T00:00:01Z\n", None),
    ],
)
def test_times_are_those_of_rfc_3339(text: str, time_us: int | None):
    assert time_us_of(text) == time_us
