"""Test what the server reports of itself: counts, health, and whether it accepts writes."""

from __future__ import annotations

import json
import threading

import falcon.testing
import pytest

from rundlet_server.functions.app import create_app
from rundlet_server.functions.route_table import ROUTES
from rundlet_server.functions.settings import ServerSettings
from rundlet_server.storage.counting.counters import OperationCounters
from rundlet_server.storage.interface import Put, Store, Txn
from tests.support.models.model import ModelStore

JSON = {"Content-Type": "application/json"}


def post(api: falcon.testing.TestClient, route: str, body: object):
    return api.simulate_post(route, body=json.dumps(body), headers=JSON)


def test_service_document_tells_what_a_client_needs(api, api_store: Store):
    api.simulate_put("/v1/kv/a", body=b"1")

    document = api.simulate_get("/v1").json

    assert document["name"] == "rundlet"
    assert document["version"]
    assert document["backend"] == api_store.info.backend
    assert document["store_id"] == api_store.info.store_id
    assert document["revision"] == 1
    assert document["read_only"] is False
    assert document["limits"]["key_bytes_max"] == 64
    assert document["limits"]["list_keys_max"] == 20


def test_root_points_to_the_rest(api):
    see = api.simulate_get("/").json["see"]

    assert {api.simulate_get(path).status_code for path in see.values()} == {200}


@pytest.mark.parametrize("path", ["/", "/v1", "/v1/stats", "/metrics", "/livez", "/readyz"])
def test_head_is_answered_wherever_get_is(api, path: str):
    head = api.simulate_head(path)

    assert head.status_code == 200
    assert head.content == b""
    assert int(head.headers["Content-Length"]) > 0


CACHE_CONTROL = {
    "/": "no-cache",
    "/openapi.json": "no-cache",
    "/v1": "no-store",
    "/v1/kv/{key:path}": "no-cache",
    "/v1/kv64/{key:path}": "no-cache",
    "/v1/keys": "no-store",
    "/v1/changes": "no-store",
    "/v1/history/{key:path}": "no-store",
    "/v1/history64/{key:path}": "no-store",
    "/v1/diff": "no-store",
    "/v1/export": "no-store",
    "/v1/admin/retention": "no-store",
    "/v1/stats": "no-store",
    "/metrics": "no-store",
    "/livez": "no-store",
    "/readyz": "no-store",
    "/v1/tokens": "no-store",
    "/ui/": "no-cache",
    "/ui": "no-cache",
}
NEEDED = {"/v1/diff": "from=0"}


@pytest.mark.parametrize(
    ("template", "method"),
    [
        (name, m)
        for name, r in ROUTES.items()
        if "GET" in r.rules and not r.fields
        for m in sorted({"GET", "HEAD"} & {*r.rules})
    ],
)
def test_every_answer_says_how_it_may_be_cached(api, template: str, method: str):
    api.simulate_put("/v1/kv/YQ", body=b"1")
    api.simulate_put("/v1/kv64/YQ", body=b"1")
    path = template.replace("{key:path}", "YQ")

    answer = api.simulate_request(method, path, query_string=NEEDED.get(template, ""))
    refused = api.simulate_request(method, path, query_string="no-such-option=1")

    assert (answer.status_code, refused.status_code) == (307 if path == "/ui" else 200, 400)
    assert answer.headers["Cache-Control"] == CACHE_CONTROL[template]
    if answer.status_code == 200:  # without a validator a cache would keep it for nothing
        assert ("ETag" in answer.headers) == (CACHE_CONTROL[template] == "no-cache")
    assert refused.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize("path", ["/", "/openapi.json"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_answer_that_never_changes_is_sent_once(api, path: str, method: str):
    tag = api.simulate_request(method, path).headers["ETag"]

    same = api.simulate_request(method, path, headers={"If-None-Match": f'"x", W/{tag}'})
    other = api.simulate_request(method, path, headers={"If-None-Match": '"x"'})

    assert (same.status_code, same.content) == (304, b"")
    assert (same.headers["ETag"], same.headers["Cache-Control"]) == (tag, "no-cache")
    assert other.status_code == 200


def test_stats_count_what_there_is(api):
    api.simulate_put("/v1/kv/a", body=b"12345")
    api.simulate_put("/v1/kv/b", body=b"12")
    api.simulate_delete("/v1/kv/b")

    stats = api.simulate_get("/v1/stats").json

    assert stats["revision"] == 3
    assert stats["keys"] == 1
    assert stats["value_bytes"] == 5
    assert stats["operations"] == {"get": 0, "set": 2, "delete": 1}
    assert isinstance(stats["store"], dict)


def test_operations_count_once_each_also_in_vain(api, api_counters: OperationCounters):
    api.simulate_put("/v1/kv/a", body=b"1")  # set
    api.simulate_get("/v1/kv/a")  # get
    tag = api.simulate_head("/v1/kv/a").headers["ETag"]  # get
    api.simulate_get("/v1/kv/a", headers={"If-None-Match": tag})  # get
    api.simulate_get("/v1/kv/nothing")  # get
    api.simulate_delete("/v1/kv/nothing")  # delete
    post(api, "/v1/mget", {"keys": ["a", "a", "nothing"]})  # get, get, get
    then = [
        {"op": "put", "key": "p", "text": "v"},  # set
        {"op": "add", "key": "n"},  # set
        {"op": "touch", "key": "a", "ttl": 9},  # set
        {"op": "restore", "key": "t", "version": 1},
        {"op": "delete", "key": "z"},  # delete
    ]
    post(api, "/v1/txn", {"then": [then[0] | {"key": "t"}]})  # set
    post(api, "/v1/txn", {"then": then})

    assert api_counters.totals() == {"get": 7, "set": 6, "delete": 2}


def test_what_is_refused_does_not_count(api, api_counters: OperationCounters):
    api.simulate_put("/v1/kv/a", body=b"1", headers={"If-Match": "*"})
    api.simulate_put("/v1/kv/a", body=b"1", params={"ttl": "-1"})
    api.simulate_put("/v1/kv/a", body=b"1" * 1_001)
    api.simulate_get("/v1/kv/", params={"rev": "7"})
    failed = [{"key": "a", "exists": True}]
    post(api, "/v1/txn", {"if": failed, "then": [{"op": "add", "key": "n"}]})
    post(api, "/v1/txn", {"then": [{"op": "touch", "key": "nothing"}]})

    assert api_counters.totals() == {}


def test_else_counts_instead_of_then(api, api_counters: OperationCounters):
    body = {
        "if": [{"key": "a", "exists": True}],
        "then": [{"op": "delete", "key": "a"}, {"op": "delete", "key": "b"}],
        "else": [{"op": "put", "key": "a", "text": "v"}],
    }

    post(api, "/v1/txn", body)

    assert api_counters.totals() == {"set": 1}


def test_metrics_say_the_same_as_stats(api):
    api.simulate_put("/v1/kv/a", body=b"12345")
    api.simulate_get("/v1/kv/a")

    answer = api.simulate_get("/metrics")

    assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    lines = answer.text.splitlines()
    assert "rundlet_keys 1" in lines
    assert "rundlet_value_bytes 5" in lines
    assert "rundlet_revision 1" in lines
    assert 'rundlet_operations_total{operation="get"} 1' in lines
    assert 'rundlet_operations_total{operation="set"} 1' in lines
    assert 'rundlet_operations_total{operation="delete"} 0' in lines
    assert "# TYPE rundlet_operations_total counter" in lines
    assert any(line.startswith("rundlet_build_info{version=") for line in lines)


def test_ready_says_what_is_wrong():
    store = ModelStore()
    api = falcon.testing.TestClient(create_app(store))
    store.trouble = "the disk is full"

    answer = api.simulate_get("/readyz")

    assert answer.status_code == 503
    assert answer.headers["Retry-After"] == "1"
    assert answer.json["detail"] == "the server is not ready: the disk is full"
    assert answer.json["ready"] is False
    assert answer.json["reasons"] == ["the disk is full"]
    assert api.simulate_get("/livez").status_code == 200


def test_compaction_is_asked_for():
    store = ModelStore()
    api = falcon.testing.TestClient(create_app(store))

    answer = api.simulate_post("/v1/admin/compact")

    assert answer.status_code == 202
    assert store.compactions == 1
    assert api.simulate_get("/v1/admin/compact").status_code == 405


READ_ONLY_STORE = (ModelStore(read_only=True), ServerSettings())
READ_ONLY_SERVER = (ModelStore(), ServerSettings(read_only=True))


@pytest.mark.parametrize(("store", "settings"), [READ_ONLY_STORE, READ_ONLY_SERVER])
def test_read_only_server_refuses_every_write(store: ModelStore, settings: ServerSettings):
    api = falcon.testing.TestClient(create_app(store, settings))
    writes = [
        api.simulate_put("/v1/kv/a", body=b"1"),
        api.simulate_delete("/v1/kv/a"),
        post(api, "/v1/txn", {"then": []}),
        api.simulate_post("/v1/admin/compact"),
    ]

    assert [answer.status_code for answer in writes] == [403] * 4
    assert {answer.json["type"] for answer in writes} == {"/problems/read-only"}
    assert api.simulate_get("/v1").json["read_only"] is True
    assert api.simulate_get("/v1/kv/a").status_code == 404
    assert api.simulate_get("/readyz").status_code == 200


@pytest.mark.parametrize("path", ["/", "/v1", "/v1/stats", "/metrics", "/livez", "/openapi.json"])
def test_options_that_mean_nothing_are_refused(api, path: str):
    assert api.simulate_get(path, query_string="x=1").status_code == 400


def test_process_counters_are_exact_over_threads():
    counters = OperationCounters()

    def count() -> None:
        for _ in range(1_000):
            counters.add("get")

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert counters.totals() == {"get": 4_000}


def test_expired_values_are_not_counted(api, api_store: Store, clock):
    api_store.commit(Txn([Put("a", b"1", ttl_s=1)]))
    clock.advance(2)

    assert api.simulate_get("/v1/stats").json["keys"] == 0
    assert api.simulate_head("/v1/keys").headers["KV-Count"] == "0"
