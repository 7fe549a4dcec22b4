"""Test conditional requests (RFC 9110, section 13)."""

from __future__ import annotations

import pytest
from falcon.testing import TestClient

from rundlet_server.functions.app import create_app
from rundlet_server.functions.messages.validators import EntityTags
from rundlet_server.storage.interface import Put, Txn
from tests.support.models.model import Clock, ModelStore

WRITTEN = "Tue, 14 Nov 2023 22:13:20 GMT"
BEFORE = "Tue, 14 Nov 2023 22:13:19 GMT"
AFTER = "Tue, 14 Nov 2023 22:13:21 GMT"
OTHER = '"1-000000000000"'


@pytest.fixture
def tag(api) -> str:
    """The tag of a value at ``/v1/kv/a``."""
    return api.simulate_put("/v1/kv/a", body=b"1").headers["ETag"]


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"If-None-Match": "TAG"}, 304),
        ({"If-None-Match": "W/TAG"}, 304),
        ({"If-None-Match": "*"}, 304),
        ({"If-None-Match": f"{OTHER}, TAG"}, 304),
        ({"If-None-Match": f" ,{OTHER},,W/TAG ,"}, 304),
        ({"If-None-Match": OTHER}, 200),
        ({"If-None-Match": "garbage"}, 200),
        ({"If-None-Match": '"a,b", TAG'}, 304),
        ({"If-Match": "TAG"}, 200),
        ({"If-Match": "*"}, 200),
        ({"If-Match": f"{OTHER}, TAG"}, 200),
        ({"If-Match": "W/TAG"}, 412),
        ({"If-Match": OTHER}, 412),
        ({"If-Match": ""}, 412),
        ({"If-Modified-Since": WRITTEN}, 304),
        ({"If-Modified-Since": AFTER}, 304),
        ({"If-Modified-Since": BEFORE}, 200),
        ({"If-Modified-Since": "Tuesday, 14-Nov-23 22:13:20 GMT"}, 304),
        ({"If-Modified-Since": "yesterday"}, 200),
        ({"If-Unmodified-Since": WRITTEN}, 200),
        ({"If-Unmodified-Since": BEFORE}, 412),
        ({"If-Unmodified-Since": "yesterday"}, 200),
        # the order of section 13.2.2
        ({"If-Match": OTHER, "If-None-Match": "TAG"}, 412),
        ({"If-Match": "TAG", "If-None-Match": "TAG"}, 304),
        ({"If-Match": "TAG", "If-Unmodified-Since": BEFORE}, 200),
        ({"If-None-Match": OTHER, "If-Modified-Since": AFTER}, 200),
        ({"If-Unmodified-Since": BEFORE, "If-None-Match": "TAG"}, 412),
        ({"If-None-Match": "TAG", "Range": "bytes=0-0"}, 304),
    ],
)
def test_read_is_decided_in_order(api, tag: str, headers: dict[str, str], status: int):
    asked = {name: text.replace("TAG", tag) for name, text in headers.items()}

    for method in ("GET", "HEAD"):
        assert api.simulate_request(method, "/v1/kv/a", headers=asked).status_code == status


def test_304_has_the_tag_and_no_body(api, tag: str):
    answer = api.simulate_get("/v1/kv/a", headers={"If-None-Match": tag})

    assert answer.content == b""
    assert answer.headers["ETag"] == tag
    assert answer.headers["Cache-Control"] == "no-cache"
    assert "Content-Type" not in answer.headers


def test_read_of_a_missing_value_is_404_whatever_the_condition(api):
    assert api.simulate_get("/v1/kv/a", headers={"If-Match": "*"}).status_code == 404


@pytest.mark.parametrize(
    ("headers", "is_done"),
    [
        ({"If-Match": "TAG"}, True),
        ({"If-Match": f"{OTHER}, TAG"}, True),
        ({"If-Match": "*"}, True),
        ({"If-Match": "W/TAG"}, False),
        ({"If-Match": OTHER}, False),
        ({"If-None-Match": "*"}, False),
        ({"If-None-Match": "TAG"}, False),
        ({"If-None-Match": "W/TAG"}, False),
        ({"If-None-Match": OTHER}, True),
        ({"If-Match": "TAG", "If-None-Match": "TAG"}, False),
        ({"If-Unmodified-Since": WRITTEN}, True),
        ({"If-Unmodified-Since": BEFORE}, False),
        ({"If-Unmodified-Since": "yesterday"}, True),
        ({"If-Match": "TAG", "If-Unmodified-Since": BEFORE}, True),
        ({"If-Modified-Since": AFTER}, True),
    ],
)
@pytest.mark.parametrize("method", ["PUT", "DELETE"])
def test_write_is_decided(api, tag: str, method: str, headers: dict[str, str], is_done: bool):
    asked = {name: text.replace("TAG", tag) for name, text in headers.items()}

    answer = api.simulate_request(method, "/v1/kv/a", body=b"2", headers=asked)

    assert answer.status_code == (204 if is_done else 412)
    if not is_done:
        assert answer.json["type"] == "/problems/precondition-failed"
        assert answer.json["revision"] == 1
        assert api.simulate_get("/v1/kv/a").content == b"1"


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"If-None-Match": "*"}, 201),
        ({"If-None-Match": OTHER}, 201),
        ({"If-Match": "*"}, 412),
        ({"If-Match": OTHER}, 412),
        ({"If-Unmodified-Since": BEFORE}, 201),
    ],
)
def test_write_of_a_new_key_is_decided(api, headers: dict[str, str], status: int):
    answer = api.simulate_put("/v1/kv/a", body=b"1", headers=headers)

    assert answer.status_code == status
    if status == 412:
        assert answer.json["revision"] == 0


def test_delete_of_a_missing_value_is_404_whatever_the_condition(api):
    answer = api.simulate_delete("/v1/kv/a", headers={"If-Match": OTHER})

    assert answer.status_code == 404


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
@pytest.mark.parametrize(
    ("listed", "is_weak"),
    [("W/TAG", True), (f"W/TAG, W/{OTHER}", True), (f"W/TAG, {OTHER}", False), (OTHER, False)],
)
def test_weak_tag_that_never_matches_is_explained(
    api, tag: str, method: str, listed: str, *, is_weak: bool
):
    headers = {"If-Match": listed.replace("TAG", tag)}

    answer = api.simulate_request(method, "/v1/kv/a", body=b"2", headers=headers)

    assert answer.status_code == 412
    assert ("a proxy that compresses" in answer.json["detail"]) == is_weak


@pytest.mark.parametrize("listed", ["41", "", '"a', 'a"', '"a" "b"', '"a";', "W/*", "*, *"])
@pytest.mark.parametrize("header", ["If-Match", "If-None-Match"])
def test_write_with_a_malformed_condition_is_400(api, tag: str, header: str, listed: str):
    answer = api.simulate_put("/v1/kv/a", body=b"2", headers={header: listed})

    assert answer.status_code == 400
    assert answer.json["type"] == "/problems/bad-precondition"
    assert api.simulate_get("/v1/kv/a").content == b"1"


def test_tag_of_revision_0_does_not_mean_absent(api, tag: str):
    zero = tag.replace('"1-', '"0-')

    answer = api.simulate_put("/v1/kv/new", body=b"1", headers={"If-Match": zero})

    assert answer.status_code == 412


def test_tag_differs_between_stores():
    answers = []
    for store_id in ("one", "two"):
        store = ModelStore(store_id=store_id)
        store.commit(Txn([Put("a", b"1")]))
        answers.append(EntityTags(store_id).tag(1))

    assert answers[0] != answers[1]
    assert EntityTags("two").revision(answers[0].strip('"')) is None


def test_any_store_id_makes_a_tag_that_a_header_can_carry():
    store = ModelStore(store_id='quote " and\nnewline é')
    store.commit(Txn([Put("a", b"1")]))

    tag = TestClient(create_app(store)).simulate_get("/v1/kv/a").headers["ETag"]

    assert tag.isascii()
    assert tag.isprintable()
    assert tag.count('"') == 2


def test_expired_value_counts_as_none(api, clock: Clock):
    tag = api.simulate_put("/v1/kv/a", body=b"1", params={"ttl": "1"}).headers["ETag"]
    clock.advance(2)

    assert api.simulate_put("/v1/kv/a", body=b"2", headers={"If-Match": tag}).status_code == 412
    created = api.simulate_put("/v1/kv/a", body=b"2", headers={"If-None-Match": "*"})
    assert created.status_code == 201
    assert created.headers["KV-Version"] == "1"
