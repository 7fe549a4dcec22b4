"""Test ``DELETE /v1/history``: every version of a key is erased for good."""

from __future__ import annotations

import falcon.testing
import pytest

from rundlet_server.functions.app import create_app
from rundlet_server.functions.settings import ServerSettings
from rundlet_server.storage.interface import Delete, Op, Put, Store, Txn
from tests.support.models.model import ModelStore


def do(store: Store, *ops: Op) -> int:
    return store.commit(Txn(ops)).revision


@pytest.mark.parametrize("path", ["/v1/history/a%2Fb", "/v1/history64/YS9i"])
def test_no_route_shows_any_version_of_an_erased_key(api, api_store: Store, path: str):
    for value in (b"1", b"2"):
        do(api_store, Put("a/b", value))
    do(api_store, Put("c", b"3"))

    answer = api.simulate_delete(path)

    assert answer.status_code == 200
    assert (answer.json["revision"], answer.json["erased"]) == (4, 2)
    assert isinstance(answer.json["pending"], bool)
    for query in ("", "rev=1", "rev=2", "version=1"):
        assert api.simulate_get("/v1/kv/a/b", query_string=query).status_code in (404, 410)
    for query in ("", "rev=1", "rev=2"):
        keys = api.simulate_get("/v1/keys", query_string=query).json["keys"]
        assert "a/b" not in [info["key"] for info in keys]
    versions = api.simulate_get(path).json["versions"]
    assert [version["op"] for version in versions] == ["erase"]
    assert (versions[0]["version"], versions[0]["size"]) == (0, 0)
    compared = api.simulate_get("/v1/diff?from=1&to=2").json["changes"]
    assert compared == []
    restore = {"then": [{"op": "restore", "key": "a/b", "revision": 1}]}
    assert api.simulate_post("/v1/txn", json=restore).status_code == 422
    rolled = api.simulate_post("/v1/rollback", json={"keys": ["a/b"], "to": 2})
    assert rolled.json["restored"] == 0


def test_erased_key_can_be_written_again(api, api_store: Store):
    do(api_store, Put("a", b"1"))
    api.simulate_delete("/v1/history/a?wait=5")

    do(api_store, Put("a", b"2"))

    versions = api.simulate_get("/v1/history/a").json["versions"]
    assert [(v["op"], v["version"]) for v in versions] == [("put", 1), ("erase", 0)]


def test_deleted_key_is_erased_and_an_unknown_one_is_404(api, api_store: Store):
    do(api_store, Put("a", b"1"))
    do(api_store, Delete("a"))

    assert api.simulate_delete("/v1/history/a").json["erased"] >= 1
    again = api.simulate_delete("/v1/history/a")
    assert (again.status_code, again.json["erased"]) == (200, 0)
    assert api.simulate_delete("/v1/history/none").status_code == 404


@pytest.mark.parametrize("wait", ["0", "60"])
def test_erasure_may_wait_from_0_to_60_seconds(api, api_store: Store, wait: str):
    do(api_store, Put("a", b"1"))

    assert api.simulate_delete(f"/v1/history/a?wait={wait}").status_code == 200


def test_longer_wait_is_refused_in_seconds_not_as_a_lifetime(api, api_store: Store):
    do(api_store, Put("a", b"1"))

    answer = api.simulate_delete("/v1/history/a?wait=60.1")

    assert answer.status_code == 400
    assert "'wait' must be a number of seconds from 0 to 60" in answer.json["detail"]
    assert api_store.get("a").value == b"1"


@pytest.mark.parametrize("query", ["wait=-1", "wait=x", "limit=1"])
def test_query_that_means_nothing_is_400(api, api_store: Store, query: str):
    do(api_store, Put("a", b"1"))

    assert api.simulate_delete("/v1/history/a", query_string=query).status_code == 400
    assert api_store.get("a").value == b"1"


def test_server_that_takes_no_writes_erases_nothing():
    store = ModelStore()
    do(store, Put("a", b"1"))
    api = falcon.testing.TestClient(create_app(store, ServerSettings(read_only=True)))

    assert api.simulate_delete("/v1/history/a").status_code == 403
    assert store.get("a") is not None
