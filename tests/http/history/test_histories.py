"""Test ``/v1/history``: the versions of one key."""

from __future__ import annotations

import cbor2
import falcon.testing
import pytest

from rundlet_server.functions.app import create_app
from rundlet_server.storage.interface import Delete, Op, Put, Restore, Store, Txn
from tests.support.models.model import Clock, ModelStore


def do(store: Store, *ops: Op) -> int:
    return store.commit(Txn(ops)).revision


@pytest.fixture
def told(api_store: Store, clock: Clock) -> Store:
    """A key with a life behind it, and one that lives."""
    do(api_store, Put("a/b", b"1", "text/plain"))
    clock.advance(1)
    do(api_store, Put("a/b", b"22", "text/plain", ttl_s=60))
    do(api_store, Put("é>", b"x"))
    do(api_store, Delete("a/b"))
    do(api_store, Restore("a/b", version=1))
    return api_store


def test_versions_come_newest_first_with_their_times(api, told: Store):
    answer = api.simulate_get("/v1/history/a/b")

    assert answer.status_code == 200
    versions = answer.json["versions"]
    assert {**answer.json, "versions": None} == {
        **{"key": "a/b", "revision": 5, "oldest_revision": 0, "versions": None},
    }
    assert versions[0].items() >= {
        "revision": 5, "version": 1, "op": "restore", "size": 1, "content_type": "text/plain",
    }.items()  # fmt: skip
    assert versions[1].items() >= {"revision": 4, "version": 0, "op": "delete", "size": 0}.items()
    assert versions[2:] == [
        {
            **{"revision": 2, "version": 2, "op": "put", "time": "2023-11-14T22:13:21.000000Z"},
            **{"size": 2, "content_type": "text/plain", "expires": "2023-11-14T22:14:21.000000Z"},
        },
        {
            **{"revision": 1, "version": 1, "op": "put", "time": "2023-11-14T22:13:20.000000Z"},
            **{"size": 1, "content_type": "text/plain"},
        },
    ]
    assert answer.headers["Cache-Control"] == "no-store"


def test_versions_come_in_cbor_too(api, told: Store):
    in_json = api.simulate_get("/v1/history/a/b")

    answer = api.simulate_get("/v1/history/a/b", headers={"Accept": "application/cbor"})

    assert answer.headers["Content-Type"] == "application/cbor"
    assert cbor2.loads(answer.content) == in_json.json


@pytest.mark.parametrize("path", ["/v1/history/a/b", "/v1/history64/YS9i", "/v1/history/a%2Fb"])
def test_pages_follow_each_other(api, told: Store, path: str):
    revisions = []
    url = f"{path}?limit=1"
    while url:
        page = api.simulate_get(url)
        assert page.status_code == 200
        revisions += [version["revision"] for version in page.json["versions"]]
        url = page.json.get("next")
        assert page.headers.get("Link") == (url and f'<{url}>; rel="next"')

    assert revisions == [5, 4, 2, 1]


def test_key_in_the_next_url_is_encoded(api, told: Store):
    do(told, Put("é>", b"y"))

    page = api.simulate_get("/v1/history/%c3%a9>?limit=1")

    assert page.json["next"].startswith("/v1/history/%C3%A9%3E?")
    assert [v["revision"] for v in api.simulate_get(page.json["next"]).json["versions"]] == [3]


def test_page_before_all_versions_is_empty_and_an_unknown_key_is_404(api, told: Store):
    assert api.simulate_get("/v1/history/a/b?before=1").json["versions"] == []
    for path in ("/v1/history/none", "/v1/history/none?before=9", "/v1/history64/bm9uZQ"):
        answer = api.simulate_get(path)
        assert (answer.status_code, answer.json["type"]) == (404, "/problems/not-found")


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=21", "limit=x", "before=-1", "before=x", "after=1", "rev=1"]
)
def test_query_that_means_nothing_is_400(api, told: Store, query: str):
    assert api.simulate_get("/v1/history/a/b", query_string=query).status_code == 400


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/v1/history/", 400),
        ("/v1/history/a/../b", 400),
        ("/v1/history64/a", 400),
        ("/v1/history", 404),
    ],
)
def test_path_without_a_key_has_no_history(api, path: str, status: int):
    assert api.simulate_get(path).status_code == status


def test_backend_without_history_is_501():
    store = ModelStore(features=frozenset())
    do(store, Put("a", b"1"))
    api = falcon.testing.TestClient(create_app(store))

    answer = api.simulate_get("/v1/history/a")

    assert (answer.status_code, answer.json["feature"]) == (501, "history")


def txn(api: falcon.testing.TestClient, *ops: dict[str, object]) -> falcon.testing.Result:
    return api.simulate_post("/v1/txn", json={"then": ops})


def test_transaction_restores_an_earlier_life_by_revision(api, told: Store):
    restored = txn(api, {"op": "restore", "key": "a/b", "revision": 2, "ttl": 5})

    assert restored.status_code == 200
    assert restored.json["results"] == [{"version": 2}]
    read = api.simulate_get("/v1/kv/a/b")
    assert (read.content, read.headers["KV-Expires"][-14:]) == (b"22", ":13:26.000000Z")


@pytest.mark.parametrize(
    "named",
    [
        {},
        {"version": 1, "revision": 1},
        {"version": 9},
        {"revision": 0},
        {"revision": 4},
        {"revision": 99},
        {"revision": -1},
        {"revision": 1, "ttl": 0},
    ],
)
def test_restore_that_names_no_value_is_422(api, told: Store, named: dict[str, object]):
    answer = txn(api, {"op": "restore", "key": "a/b", **named})

    assert (answer.status_code, answer.json["index"]) == (422, 0)
    assert told.stats().revision == 5


def test_touch_gives_another_time_to_live_and_keeps_the_value(api, told: Store, clock: Clock):
    touched = txn(api, {"op": "touch", "key": "a/b", "ttl": 30})
    first = api.simulate_get("/v1/kv/a/b")
    txn(api, {"op": "touch", "key": "a/b"})
    second = api.simulate_get("/v1/kv/a/b")

    assert touched.json["results"] == [{"version": 2}]
    assert (first.content, first.headers["KV-Expires"]) == (b"1", "2023-11-14T22:13:51.000000Z")
    assert (second.content, second.headers.get("KV-Expires")) == (b"1", None)
    assert second.headers["Content-Type"] == "text/plain"
    assert txn(api, {"op": "touch", "key": "none"}).status_code == 422
    newest = api.simulate_get("/v1/history/a/b?limit=1").json["versions"][0]
    assert newest["op"] == "put"
