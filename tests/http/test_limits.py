"""Test that an error over a limit names the limit as ``/v1`` does, and its option."""

from __future__ import annotations

import contextlib
import gzip
import json
import threading
from collections.abc import Iterator
from pathlib import Path

import cbor2
import falcon.testing
import pytest

from rundlet_server.functions.app import create_app
from rundlet_server.functions.limits import SET_BY
from rundlet_server.functions.messages.uploads import DecodingTurns
from rundlet_server.functions.settings import ServerSettings
from rundlet_server.storage.bounds import METADATA_COUNT_MAX
from rundlet_server.storage.interface import Limits
from rundlet_server.storage.opening import open_log_store
from rundlet_server.storage.settings import StoreSettings
from tests.support.backends import open_test_etcd

LIMITS = Limits(
    key_bytes_max=20,
    value_bytes_max=100,
    txn_ops_max=2,
    txn_bytes_max=120,
    list_keys_max=3,
    answer_bytes_max=250,
)
Request = tuple[str, str, bytes | dict[str, object] | None]
PUT = {"op": "put", "key": "a", "text": "v"}


@pytest.fixture
def api(tmp_path: Path) -> Iterator[falcon.testing.TestClient]:
    store = open_log_store(tmp_path / "data", StoreSettings(limits=LIMITS))
    yield falcon.testing.TestClient(create_app(store))
    store.close()


OVER = [
    ("key_bytes_max", ("PUT", f"/v1/kv/{'k' * 21}", b"v"), 414),
    ("key_bytes_max", ("GET", f"/v1/kv/{'%C3%BC' * 11}", None), 414),
    ("key_bytes_max", ("POST", "/v1/mget", {"keys": ["k" * 21]}), 422),
    ("key_bytes_max", ("POST", "/v1/txn", {"then": [{**PUT, "key": "k" * 21}]}), 422),
    ("value_bytes_max", ("PUT", "/v1/kv/a", b"v" * 101), 413),
    ("value_bytes_max", ("POST", "/v1/txn", {"then": [{**PUT, "text": "v" * 101}]}), 413),
    ("txn_ops_max", ("POST", "/v1/txn", {"then": [{**PUT, "key": k} for k in "abc"]}), 413),
    ("txn_bytes_max",
     ("POST", "/v1/txn", {"then": [{**PUT, "key": k, "text": "v" * 70} for k in "ab"]}), 413),
    ("txn_body_bytes_max", ("POST", "/v1/txn", {"then": [], "x": "x" * 99_999}), 413),
    ("txn_body_items_max", ("POST", "/v1/txn", {"then": [{}] * 200}), 413),
    ("list_keys_max", ("POST", "/v1/mget", {"keys": ["a"] * 4}), 413),
    ("mget_body_items_max", ("POST", "/v1/mget", {"keys": ["a"] * 30}), 413),
    ("mget_body_bytes_max", ("POST", "/v1/mget", {"keys": [], "x": "x" * 99_999}), 413),
]  # fmt: skip


@pytest.mark.parametrize(("name", "request_sent", "status"), OVER)
def test_error_names_the_limit_and_the_option_that_sets_it(
    api: falcon.testing.TestClient, name: str, request_sent: Request, status: int
):
    method, path, body = request_sent
    sent = {"json": body} if isinstance(body, dict) else {"body": body}

    answer = api.simulate_request(method, path, **sent)

    assert answer.status_code == status
    assert answer.json["limit"] == api.simulate_get("/v1").json["limits"][name]
    assert answer.json["got"] > answer.json["limit"]
    assert f"{name} is {answer.json['limit']}" in answer.json["detail"]
    assert SET_BY[name] in answer.json["detail"]


@pytest.mark.parametrize("media_type", ["application/json", "application/cbor"])
def test_largest_transaction_with_all_metadata_has_few_enough_items(
    tmp_path: Path, media_type: str
):
    limits = Limits()
    given = {
        **{"content_type": "text/plain", "ttl": 60, "base64": None, "value": None},
        "meta": {f"name-{number}": "v" for number in range(METADATA_COUNT_MAX)},
    }
    puts = [{**PUT, **given, "key": f"k{number}"} for number in range(limits.txn_ops_max)]
    condition = {"revision": 0, "exists": False, "version": None}
    conditions = [{"key": put["key"], **condition} for put in puts]
    body = {"if": conditions, "then": puts, "else": puts}
    encode = cbor2.dumps if media_type == "application/cbor" else json.dumps
    with contextlib.closing(open_log_store(tmp_path / "data", StoreSettings())) as store:
        api = falcon.testing.TestClient(create_app(store))
        headers = {"Content-Type": media_type}
        answer = api.simulate_post("/v1/txn", body=encode(body), headers=headers)

    assert answer.status_code == 200


@pytest.mark.parametrize("media_type", ["application/json", "application/cbor"])
def test_mget_whose_answer_is_too_large_is_refused(api: falcon.testing.TestClient, media_type: str):
    api.simulate_put("/v1/kv/a", body=b"v" * 100)
    headers = {"Accept": media_type}

    answer = api.simulate_post("/v1/mget", json={"keys": ["a"] * 3}, headers=headers)

    assert (answer.status_code, answer.json["type"]) == (413, "/problems/too-large")
    assert (answer.json["limit"], answer.json["got"]) == (250, 303)
    assert "answer_bytes_max is 250" in answer.json["detail"]
    assert "ask for less, or raise --max-answer-bytes" in answer.json["detail"]
    assert api.simulate_post("/v1/mget", json={"keys": ["a"] * 2}).status_code == 200


def test_page_that_is_too_long_names_its_limit(api: falcon.testing.TestClient):
    answer = api.simulate_get("/v1/keys", params={"limit": 4})

    assert (answer.status_code, answer.json["type"]) == (400, "/problems/bad-query")
    assert "from 1 to 3 (list_keys_max)" in answer.json["detail"]


def test_every_limit_that_is_shown_has_its_option(api: falcon.testing.TestClient):
    limits = api.simulate_get("/v1").json["limits"]

    assert set(limits) == set(SET_BY)
    assert limits["body_bytes_max"] == limits["txn_body_bytes_max"]


def test_large_bodies_are_decoded_one_at_a_time_and_small_ones_at_once():
    turns = DecodingTurns()
    decoded: list[str] = []

    def decode(name: str, size: int) -> None:
        with turns.decoding(size):
            decoded.append(name)

    with turns.decoding(2**20):
        large = threading.Thread(target=decode, args=("large", 2**20))
        large.start()
        small = threading.Thread(target=decode, args=("small", 2**20 - 1))
        small.start()
        small.join(20)
        large.join(0.05)

        assert decoded == ["small"]
    large.join(20)
    assert decoded == ["small", "large"]


@pytest.mark.parametrize(
    ("set_limits", "advice"),
    [
        (Limits(), "send less: it is a limit of etcd, which no option of the server raises"),
        (Limits(value_bytes_max=9, txn_ops_max=2), "or raise --max-"),
    ],
)
def test_an_option_is_advised_only_where_it_can_help(tmp_path: Path, set_limits: Limits, advice):
    store = open_test_etcd(tmp_path, StoreSettings(limits=set_limits))
    with contextlib.closing(store):
        api = falcon.testing.TestClient(create_app(store, ServerSettings()))
        limits = store.info.limits
        then = [{**PUT, "key": f"{n}"} for n in range(limits.txn_ops_max + 1)]
        refused = [
            api.simulate_put("/v1/kv/a", body=bytes(limits.value_bytes_max + 1)),
            api.simulate_post("/v1/txn", json={"then": then}),
        ]
        many = [*then[:1], *({"op": "delete", "key": f"{n}"} for n in range(128))]
        refused.append(api.simulate_post("/v1/txn", json={"then": many}))

    assert [answer.status_code for answer in refused] == [413] * 3
    assert all(advice in answer.json["detail"] for answer in refused)


def test_an_import_that_is_refused_says_what_helps_after_how_far_it_came(tmp_path: Path):
    store = open_log_store(tmp_path / "data", StoreSettings(limits=LIMITS))
    with contextlib.closing(store):
        api = falcon.testing.TestClient(create_app(store, ServerSettings()))
        body = gzip.compress(b"x" * 999_999)
        headers = {"Content-Encoding": "gzip", "Content-Type": "application/jsonl"}

        refused = api.simulate_post("/v1/import", body=body, headers=headers)

    assert refused.status_code == 413
    assert refused.json["detail"].endswith("send less, or raise --max-txn-bytes on the server")
