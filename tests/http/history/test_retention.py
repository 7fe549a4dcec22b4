"""Test ``/v1/admin/retention``: which history the store keeps."""

from __future__ import annotations

import cbor2
import falcon.testing
import pytest

from rundlet_server.functions.app import create_app
from rundlet_server.functions.settings import ServerSettings
from rundlet_server.storage.interface import Store
from rundlet_server.storage.timeline import Retention
from tests.support.backends import only_on
from tests.support.models.model import ModelStore

PATH = "/v1/admin/retention"


@only_on("model", "log")  # etcd keeps history by time only
def test_retention_is_read_and_replaced(api, api_store: Store):
    before = api.simulate_get(PATH)

    answer = api.simulate_put(PATH, json={"keep_versions": 3, "keep_for_s": 0.5})

    assert before.json == {"keep_versions": 10, "keep_for_s": 3600}
    assert (answer.status_code, answer.json) == (200, {"keep_versions": 3, "keep_for_s": 0.5})
    assert api.simulate_get(PATH).json == answer.json
    assert api_store.retention() == Retention(3, 0.5)


@only_on("model", "log")  # etcd keeps history by time only
def test_retention_comes_and_goes_in_cbor(api):
    body = cbor2.dumps({"keep_versions": 2, "keep_for_s": 7})

    answer = api.simulate_put(PATH, body=body, headers={"Content-Type": "application/cbor"})

    assert cbor2.loads(answer.content) == {"keep_versions": 2, "keep_for_s": 7}


@only_on("model", "log")  # etcd keeps history by time only
@pytest.mark.parametrize(
    "body",
    [
        {},
        {"keep_versions": 3},
        {"keep_for_s": 3},
        {"keep_versions": 0, "keep_for_s": 3},
        {"keep_versions": 2**53, "keep_for_s": 3},
        {"keep_versions": 1.5, "keep_for_s": 3},
        {"keep_versions": 1, "keep_for_s": -1},
        {"keep_versions": 1, "keep_for_s": 1e12},
        {"keep_versions": 1, "keep_for_s": "1h"},
        {"keep_versions": 1, "keep_for_s": 1, "more": 1},
    ],
)
def test_retention_that_no_store_can_have_is_422(api, api_store: Store, body: dict[str, object]):
    assert api.simulate_put(PATH, json=body).status_code == 422
    assert api_store.retention() == Retention()


def test_server_that_takes_no_writes_keeps_the_retention():
    store = ModelStore()
    api = falcon.testing.TestClient(create_app(store, ServerSettings(read_only=True)))

    answer = api.simulate_put(PATH, json={"keep_versions": 3, "keep_for_s": 1})

    assert (answer.status_code, answer.json["type"]) == (403, "/problems/read-only")
    assert api.simulate_get(PATH).status_code == 200
