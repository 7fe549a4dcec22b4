"""What a backend cannot do is 501 and names the backend; everything else goes on."""

from __future__ import annotations

import falcon.testing
import pytest

from rundlet_server.functions.app import create_app
from rundlet_server.functions.monitoring.counting import CountedStore
from rundlet_server.storage.counting.counters import OperationCounters
from rundlet_server.storage.errors import NotSupported
from rundlet_server.storage.interface import Put, Restore, Txn
from tests.support.models.model import ModelStore


@pytest.fixture
def api() -> falcon.testing.TestClient:
    """A server whose backend has none of the features."""
    store = ModelStore(features=frozenset())
    for key in ("a", "b", "c"):
        store.commit(Txn([Put(key, b"1")]))
    return falcon.testing.TestClient(create_app(store))


@pytest.mark.parametrize(
    ("method", "path", "body", "feature"),
    [
        ("GET", "/v1/kv/a?rev=1", None, "history"),
        ("HEAD", "/v1/kv/a?rev=1", None, "history"),
        ("GET", "/v1/keys?rev=1", None, "history"),
        ("HEAD", "/v1/keys?rev=1", None, "history"),
        ("POST", "/v1/mget", {"keys": ["a"], "rev": 1}, "history"),
        ("POST", "/v1/txn", {"then": [{"op": "restore", "key": "a", "version": 1}]}, "history"),
        (
            *("POST", "/v1/txn"),
            {"then": [], "else": [{"op": "restore", "key": "a", "version": 1}]},
            "history",
        ),
        ("GET", "/v1/changes?since=0", None, "changes"),
        ("POST", "/v1/admin/compact", None, "compaction"),
        ("POST", "/v1/backup", None, "backup"),
        ("GET", f"/v1/backup/{'0' * 32}", None, "backup"),
    ],
)
def test_what_the_backend_cannot_do_is_501(api, method, path, body, feature):
    answer = api.simulate_request(method, *path.split("?")[:1], **_options(path, body))

    assert answer.status_code == 501
    assert answer.headers["Content-Type"] == "application/problem+json"
    if method != "HEAD":
        assert answer.json["type"] == "/problems/not-supported"
        assert (answer.json["backend"], answer.json["feature"]) == ("log", feature)
        assert "'log'" in answer.json["detail"]


def test_everything_else_goes_on(api):
    page = api.simulate_get("/v1/keys?limit=2&include=value")
    rest = api.simulate_get(page.json["next"])

    assert [key["key"] for key in page.json["keys"] + rest.json["keys"]] == ["a", "b", "c"]
    assert api.simulate_put("/v1/kv/a", body=b"2").status_code == 204
    assert api.simulate_post("/v1/mget", json={"keys": ["a"]}).status_code == 200


def test_server_that_takes_no_writes_says_that_first():
    api = falcon.testing.TestClient(create_app(ModelStore(read_only=True, features=frozenset())))

    assert api.simulate_post("/v1/admin/compact").status_code == 403


def test_counted_store_refuses_before_the_store_is_asked():
    counters = OperationCounters()
    store = CountedStore(ModelStore(features=frozenset()), counters)

    for call in (
        lambda: store.get("a", at=0),
        lambda: store.get_many(["a"], at=0),
        lambda: store.commit(Txn([Restore("a", 1)])),
        lambda: store.load([(b"a", b"1", "text/plain")]),
        store.compact,
    ):
        with pytest.raises(NotSupported):
            call()
    assert counters.totals() == {}


def _options(path: str, body: object) -> dict[str, object]:
    query = path.partition("?")[2]
    return {"query_string": query, **({} if body is None else {"json": body})}
