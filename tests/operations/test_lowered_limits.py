"""Test that keys written under a higher limit can still be read and deleted."""

from __future__ import annotations

import json
from collections.abc import Iterator
from urllib.parse import quote

import falcon.testing
import pytest

from rundlet_server.functions.app import create_app
from rundlet_server.storage.errors import LimitExceeded
from rundlet_server.storage.interface import Condition, Delete, Limits, Put, Touch, Txn
from rundlet_server.storage.log.store import LogStore
from rundlet_server.storage.opening import open_log_store
from rundlet_server.storage.settings import StoreSettings
from rundlet_server.storage.tokens.file import TokenFile
from rundlet_server.storage.tokens.watch import TokenWatch

OLD = "o" * 50 + "é"
OTHER = "p" * 50
DELETE_OLD = {"op": "delete", "key": OLD}
JSON = {"Content-Type": "application/json"}


@pytest.fixture
def store(tmp_path) -> Iterator[LogStore]:
    """A store that holds ``OLD`` and takes keys of 20 bytes now."""
    store = open_log_store(tmp_path / "data")
    store.commit(Txn([Put(OLD, b"value")]))
    store.close()
    store = open_log_store(tmp_path / "data", StoreSettings(limits=Limits(key_bytes_max=20)))
    yield store
    store.close()


def test_old_key_is_read(store):
    entry = store.get(OLD)

    assert entry is not None
    assert entry.value == b"value"
    assert store.get(OLD, at=1) == entry
    assert store.get_many([OLD, "a"]).entries == [entry, None]
    assert [version.kind for version in store.history(OLD).versions] == ["put"]


def test_old_key_is_deleted_and_does_not_come_back(store):
    commit = store.commit(Txn([Delete(OLD)], [Condition(OLD, exists=True)]))

    assert commit.results[0].found
    assert store.get(OLD) is None
    assert store.scan().keys == []


@pytest.mark.parametrize("op", [Put(OLD, b"new"), Touch(OLD), Delete(OTHER), Put(OTHER, b"new")])
def test_longer_key_is_neither_written_nor_made(store, op):
    with pytest.raises(LimitExceeded):
        store.commit(Txn([op]))


@pytest.mark.parametrize("key", [OTHER, "x" * 70_000])
def test_longer_key_that_the_store_does_not_have_is_refused(store, key):
    with pytest.raises(LimitExceeded):
        store.get(key)


def test_old_key_is_read_and_deleted_over_http(store):
    api = falcon.testing.TestClient(create_app(store))
    old, other = f"/v1/kv/{quote(OLD)}", f"/v1/kv/{OTHER}"

    listed = [info["key"] for info in api.simulate_get("/v1/keys").json["keys"]]
    got = api.simulate_get(old)
    written = api.simulate_put(old, body=b"new")
    missing = [api.simulate_request(method, other).status_code for method in ("GET", "DELETE")]
    deleted = api.simulate_delete(old)
    again = api.simulate_get(old)

    assert listed == [OLD]
    assert (got.status_code, got.content) == (200, b"value")
    assert written.status_code == 414
    assert missing == [414, 414]
    assert deleted.status_code == 204
    assert again.status_code == 404


def test_old_key_is_one_of_many_over_http(store):
    api = falcon.testing.TestClient(create_app(store))
    held = {"if": [{"key": OLD, "exists": True}], "then": [{"op": "put", "key": "a", "text": "1"}]}
    gone = {"then": [{"op": "delete", "key": "a"}, {"op": "delete", "key": OLD}]}

    read = api.simulate_post("/v1/mget", json={"keys": ["a", OLD]})
    commits = [api.simulate_post("/v1/txn", json=body) for body in (held, gone)]
    listed = api.simulate_get("/v1/keys").json["keys"]

    assert [item.get("base64") for item in read.json["items"]] == [None, "dmFsdWU="]
    assert [commit.status_code for commit in commits] == [200, 200]
    assert commits[1].json["results"] == [{"found": True}, {"found": True}]
    assert listed == []


@pytest.mark.parametrize("key", [OTHER, "x" * 60_000, "x" * 70_000])
@pytest.mark.parametrize(
    ("path", "body", "place"),
    [
        ("mget", {"keys": ["a", OLD, "KEY"]}, ("keys", 2)),
        ("txn", {"if": [{"key": "KEY", "exists": False}], "then": []}, ("if", 0)),
        ("txn", {"then": [DELETE_OLD, {"op": "delete", "key": "KEY"}]}, ("then", 1)),
        ("txn", {"then": [], "else": [DELETE_OLD, {"op": "delete", "key": "KEY"}]}, ("else", 1)),
        ("txn", {"then": [DELETE_OLD, {"op": "put", "key": "KEY", "text": "1"}]}, ("then", 1)),
    ],
)
def test_longer_key_among_many_is_named(store, path, body, place, key):
    api = falcon.testing.TestClient(create_app(store))
    sent = json.dumps(body).replace("KEY", key)

    answer = api.simulate_post(f"/v1/{path}", body=sent, headers=JSON)

    assert (answer.status_code, answer.json["type"]) == (422, "/problems/key-too-long")
    assert (answer.json["list"], answer.json["index"]) == place
    assert (answer.json["limit"], answer.json["got"]) == (20, len(key))
    assert store.get(OLD) is not None


@pytest.mark.parametrize("op", [{"op": "put", "text": "1"}, {"op": "touch"}, {"op": "add"},
                                {"op": "restore", "version": 1}])  # fmt: skip
def test_old_key_is_not_written_among_many(store, op):
    api = falcon.testing.TestClient(create_app(store))

    answer = api.simulate_post("/v1/txn", json={"then": [{**op, "key": OLD}]})

    assert (answer.status_code, answer.json["type"]) == (422, "/problems/key-too-long")


def test_token_does_not_learn_of_old_keys_outside_its_prefix(store, tmp_path):
    _, token = TokenFile(tmp_path / "data").add("app", "write", prefix="a/")
    app = create_app(store, tokens=TokenWatch(tmp_path / "data"))
    api = falcon.testing.TestClient(app, headers={"Authorization": f"Bearer {token}"})

    answers = [
        api.simulate_post(path, json=body).status_code
        for key in (OLD, OTHER)
        for path, body in (
            ("/v1/mget", {"keys": [key]}),
            ("/v1/txn", {"then": [{"op": "delete", "key": key}]}),
            ("/v1/txn", {"if": [{"key": key, "exists": True}], "then": []}),
        )
    ]

    assert answers == [403] * 6
