"""Test ``/v1/mget`` and ``/v1/txn``."""

from __future__ import annotations

import base64
import json

import cbor2
import falcon.testing
import pytest

from rundlet_server.functions.messages.answers import encode_mget
from rundlet_server.functions.units import rfc3339
from rundlet_server.storage.interface import Entry
from tests.support.models.model import Clock

CBOR = "application/cbor"
JSON = "application/json"


def mget(api: falcon.testing.TestClient, body: object, **headers: str):
    return api.simulate_post("/v1/mget", body=json.dumps(body), headers={"Content-Type": JSON})


def txn(api: falcon.testing.TestClient, then: list, **others: list):
    body = {"then": then} | {name.rstrip("_"): items for name, items in others.items()}
    return api.simulate_post(
        "/v1/txn", body=json.dumps(body), headers={"Content-Type": "application/json; charset=x"}
    )


def value(api: falcon.testing.TestClient, key: str) -> bytes | None:
    answer = api.simulate_get(f"/v1/kv/{key}")
    return answer.content if answer.status_code == 200 else None


# --- mget ----------------------------------------------------------------------------------


def test_mget_answers_in_the_order_asked(api):
    txn(api, [{"op": "put", "key": "a", "text": "1", "content_type": "text/plain"}])
    txn(api, [{"op": "put", "key": "b", "base64": "/w=="}])

    answer = mget(api, {"keys": ["b", "nothing", "a", "b"]})

    b = {"key": "b", "found": True, "revision": 2, "version": 1,
         "content_type": "application/octet-stream", "base64": "/w=="}  # fmt: skip
    a = {"key": "a", "found": True, "revision": 1, "version": 1,
         "content_type": "text/plain", "text": "1"}  # fmt: skip
    nothing = {"key": "nothing", "found": False}
    assert answer.json == {"revision": 2, "items": [b, nothing, a, b]}


@pytest.mark.parametrize("metadata", [(), (("by", "ü"),)])
@pytest.mark.parametrize("expires_us", [None, 1_700_000_000_000_000])
@pytest.mark.parametrize("number", [1, 23, 24, 255, 256, 65_535, 65_536, 2**32 - 1, 2**32])
def test_mget_in_cbor_is_encoded_as_by_cbor2(number: int, expires_us: int | None, metadata):
    size = min(number, 70_000)
    key, data = ("é" + "k" * size)[:size], bytes(size)
    entry = Entry(key, data, number, number, 0, "text/x-%b", expires_us, metadata)
    encoded = encode_mget([key, "no", key], [entry, None, entry], number, CBOR)

    found = {"key": key, "found": True, "revision": number, "version": number,
             "content_type": "text/x-%b", "expires": rfc3339(expires_us or 0),
             "meta": dict(metadata), "value": data}  # fmt: skip
    expected = {name: member for name, member in found.items()
                if (name != "expires" or expires_us) and (name != "meta" or metadata)}  # fmt: skip
    items = [expected, {"key": "no", "found": False}, expected]
    assert encoded == cbor2.dumps({"revision": number, "items": items})


@pytest.mark.parametrize(
    ("content_type", "data", "form"),
    [
        ("text/plain", b"x", "text"),
        ("TEXT/html; charset=latin-1", "é".encode(), "text"),
        ("application/json", b"{}", "text"),
        ("application/json; a=b", b"{}", "text"),
        ("text/plain", b"\xff", "base64"),
        ("application/json5", b"{}", "base64"),
        ("application/octet-stream", b"x", "base64"),
        ("texture/plain", b"x", "base64"),
    ],
)
def test_json_shows_text_where_it_is_text(api, content_type: str, data: bytes, form: str):
    api.simulate_put("/v1/kv/a", body=data, headers={"Content-Type": content_type})

    item = mget(api, {"keys": ["a"]}).json["items"][0]

    assert {"text", "base64"} & item.keys() == {form}
    shown = item[form]
    assert (base64.b64decode(shown) if form == "base64" else shown.encode()) == data


def test_mget_reads_an_old_revision(api):
    txn(api, [{"op": "put", "key": "a", "text": "1"}])
    txn(api, [{"op": "delete", "key": "a"}])

    assert mget(api, {"keys": ["a"], "rev": 1}).json["items"][0]["found"] is True
    assert mget(api, {"keys": ["a"], "rev": 2}).json["items"][0]["found"] is False
    assert mget(api, {"keys": ["a"], "rev": 3}).status_code == 400


def test_mget_tells_when_a_value_expires(api):
    txn(api, [{"op": "put", "key": "a", "text": "1", "ttl": 1}])

    item = mget(api, {"keys": ["a"]}).json["items"][0]

    assert item["expires"] == "2023-11-14T22:13:21.000000Z"


def test_mget_of_too_many_keys_is_413(api):
    assert mget(api, {"keys": ["k"] * 20}).status_code == 200

    answer = mget(api, {"keys": ["k"] * 21})

    assert answer.status_code == 413
    assert (answer.json["limit"], answer.json["got"]) == (20, 21)


def test_mget_of_nothing_gives_the_revision(api):
    assert mget(api, {"keys": []}).json == {"revision": 0, "items": []}


@pytest.mark.parametrize(
    "body",
    [{}, [], "a", None, 1, {"keys": "a"}, {"keys": [1]}, {"keys": [""]}, {"keys": [None]},
     {"keys": ["\ud800"]}, {"keys": ["x" * 65]}, {"keys": [], "rev": -1}, {"keys": [], "rev": "1"},
     {"keys": [], "rev": True}, {"keys": [], "rev": 1.5}, {"keys": [], "rev": 2**63},
     {"keys": [], "more": 1}, {"keys": [["a"]]}, {"keys": [{}]}],
)  # fmt: skip
def test_mget_with_wrong_members_is_422(api, body: object):
    answer = mget(api, body)

    assert answer.status_code == 422, answer.text


# --- media types ---------------------------------------------------------------------------


def test_cbor_carries_bytes_as_they_are(api):
    body = {"then": [{"op": "put", "key": "a", "value": b"\xff\0", "ttl": 5}]}
    headers = {"Content-Type": CBOR}

    done = api.simulate_post("/v1/txn", body=cbor2.dumps(body), headers=headers)
    got = api.simulate_post("/v1/mget", body=cbor2.dumps({"keys": ["a"]}), headers=headers)

    assert done.headers["Content-Type"] == CBOR
    assert cbor2.loads(done.content) == {
        "succeeded": True, "revision": 1, "results": [{"version": 1}],
    }  # fmt: skip
    assert cbor2.loads(got.content)["items"][0]["value"] == b"\xff\0"


@pytest.mark.parametrize(
    ("sent", "accept", "answered"),
    [
        (JSON, None, JSON),
        (CBOR, None, CBOR),
        (JSON, "*/*", JSON),
        (CBOR, "*/*", CBOR),
        (JSON, CBOR, CBOR),
        (CBOR, JSON, JSON),
        (JSON, "application/cbor, application/json;q=0.9", CBOR),
        (CBOR, "application/*;q=0.2", CBOR),
        (JSON, "text/html, */*;q=0.1", JSON),
        (JSON, "Application/CBOR", CBOR),
        (CBOR, "application/json; charset=utf-8", JSON),
        (JSON, "text/html", None),
        (JSON, "application/json;q=0", None),
        (JSON, ";;;", None),
    ],
)
def test_answer_is_of_the_type_accepted(api, sent: str, accept: str | None, answered: str | None):
    body = cbor2.dumps({"keys": []}) if sent == CBOR else b'{"keys": []}'
    headers = {"Content-Type": sent} | ({"Accept": accept} if accept else {})

    answer = api.simulate_post("/v1/mget", body=body, headers=headers)

    assert answer.status_code == (200 if answered else 406)
    assert answer.headers["Content-Type"] == (answered or "application/problem+json")


@pytest.mark.parametrize(
    ("accept", "answered"),
    [
        ("application/json,", JSON),
        (" , ,application/cbor ,", CBOR),
        ("application/json;q=0.2, application/cbor;q=0.3", CBOR),
        ("application/cbor;q=0, */*", JSON),
        ("application/cbor;q=0.9, application/*", JSON),
        ("application/cbor; a=b; q=0.001, text/html", CBOR),
        ("application/cbor;q=nan", None),
        ("application/cbor;q=2", None),
        (",", None),
        ('a/b;"' + ";" * 60_000, None),
        ("," * 60_000, None),
        ("a" * 60_000, None),
    ],
    ids=lambda item: str(item)[:50],
)
def test_accept_is_a_list_with_weights(api, accept: str, answered: str | None):
    answer = api.simulate_get("/v1/keys", headers={"Accept": accept})

    assert answer.status_code == (200 if answered else 406)
    assert answer.headers["Content-Type"] == (answered or "application/problem+json")


@pytest.mark.parametrize("route", ["/v1/mget", "/v1/txn"])
@pytest.mark.parametrize(("encoding", "status"), [("gzip", 415), ("br", 415), ("Identity", 200)])
def test_encoded_body_is_415(api, route: str, encoding: str, status: int):
    body = {"/v1/mget": b'{"keys": []}', "/v1/txn": b'{"then": []}'}[route]
    headers = {"Content-Type": JSON, "Content-Encoding": encoding}

    answer = api.simulate_post(route, body=body, headers=headers)

    assert answer.status_code == status
    assert status == 200 or answer.headers["Accept-Encoding"] == "identity"


def test_nothing_is_done_when_the_answer_would_not_be_accepted(api):
    body = json.dumps({"then": [{"op": "put", "key": "a", "text": "1"}]})

    answer = api.simulate_post(
        "/v1/txn", body=body, headers={"Content-Type": JSON, "Accept": "text/html"}
    )

    assert answer.status_code == 406
    assert value(api, "a") is None


@pytest.mark.parametrize("content_type", ["text/plain", "application/jsonx", "", "multipart/x"])
@pytest.mark.parametrize("route", ["/v1/mget", "/v1/txn"])
def test_other_types_are_415(api, route: str, content_type: str):
    answer = api.simulate_post(route, body=b"{}", headers={"Content-Type": content_type})

    assert answer.status_code == 415


# --- txn -----------------------------------------------------------------------------------


def test_every_op_has_its_result(api):
    txn(api, [{"op": "put", "key": key, "text": "5"} for key in ("put", "del", "add", "touch")])
    txn(api, [{"op": "put", "key": "restore", "text": "old"}])
    txn(api, [{"op": "put", "key": "restore", "text": "new"}])

    answer = txn(
        api,
        [
            {"op": "put", "key": "put", "text": "6"},
            {"op": "put", "key": "new", "text": "é"},
            {"op": "delete", "key": "del"},
            {"op": "delete", "key": "nothing"},
            {"op": "add", "key": "add", "by": -7},
            {"op": "add", "key": "counter"},
            {"op": "touch", "key": "touch", "ttl": 30},
            {"op": "restore", "key": "restore", "version": 1},
        ],
    )

    assert answer.json == {
        "succeeded": True,
        "revision": 4,
        "results": [
            {"version": 2},
            {"version": 1},
            {"found": True},
            {"found": False},
            {"version": 2, "number": -2},
            {"version": 1, "number": 1},
            {"version": 2},
            {"version": 3},
        ],
    }
    assert value(api, "new") == "é".encode()
    assert value(api, "add") == b"-2"
    assert value(api, "restore") == b"old"
    assert "KV-Expires" in api.simulate_get("/v1/kv/touch").headers


@pytest.mark.parametrize(
    ("form", "content_type", "stored"),
    [
        ({"text": "é"}, None, "text/plain; charset=utf-8"),
        ({"text": ""}, "", "text/plain; charset=utf-8"),
        ({"text": "{}"}, "application/json", "application/json"),
        ({"base64": "YQ=="}, None, "application/octet-stream"),
        ({"base64": "YQ=="}, "text/css", "text/css"),
    ],
)
def test_text_is_stored_as_text(api, form: dict, content_type: str | None, stored: str):
    txn(api, [{"op": "put", "key": "a", "content_type": content_type, **form}])

    item = mget(api, {"keys": ["a"]}).json["items"][0]

    assert item["content_type"] == stored
    assert "base64" in form or item["text"] == form["text"]


@pytest.mark.parametrize(
    ("before", "by", "after"),
    [
        ("9223372036854775806", 1, 2**63 - 1),
        ("9223372036854775807", 1, None),
        ("-9223372036854775808", -1, None),
        ("-9223372036854775807", -1, -(2**63)),
        ("9" * 30, 1, None),
        ("9" * 30, -1, None),
        ("9223372036854775808", -1, 2**63 - 1),
    ],
)
def test_number_stays_within_64_bits(api, before: str, by: int, after: int | None):
    txn(api, [{"op": "put", "key": "n", "text": before}])

    answer = txn(api, [PUT_A, {"op": "add", "key": "n", "by": by}])

    if after is None:
        assert (answer.status_code, answer.json["index"]) == (422, 1)
        assert (value(api, "a"), value(api, "n")) == (None, before.encode())
    else:
        assert answer.json["results"][1] == {"version": 2, "number": after}


@pytest.mark.parametrize(
    ("condition", "holds"),
    [
        ({"revision": 1}, True),
        ({"revision": 2}, False),
        ({"revision": 0}, False),
        ({"version": 1}, True),
        ({"version": 2}, False),
        ({"exists": True}, True),
        ({"exists": False}, False),
        ({"revision": 1, "version": 1, "exists": True}, True),
        ({"revision": 1, "version": 2}, False),
        ({"key": "nothing", "revision": 0}, True),
        ({"key": "nothing", "exists": False}, True),
        ({"key": "nothing", "exists": True}, False),
    ],
)
def test_condition_decides(api, condition: dict, holds: bool):
    txn(api, [{"op": "put", "key": "a", "text": "1"}])
    conditions = [{"key": "a"} | condition]

    with_else = txn(api, [{"op": "put", "key": "b", "text": "then"}], if_=conditions,
                    else_=[{"op": "put", "key": "b", "text": "else"}])  # fmt: skip
    without = txn(api, [{"op": "put", "key": "c", "text": "then"}], if_=conditions)

    assert with_else.status_code == 200
    assert with_else.json["succeeded"] is holds
    assert value(api, "b") == (b"then" if holds else b"else")
    assert without.status_code == (200 if holds else 409)
    assert value(api, "c") == (b"then" if holds else None)


def test_conflict_lists_every_failed_condition(api):
    txn(api, [{"op": "put", "key": "a", "text": "1"}])

    answer = txn(
        api,
        [{"op": "put", "key": "a", "text": "2"}],
        if_=[{"key": "a", "revision": 9}, {"key": "a", "exists": True}, {"key": "z", "version": 1}],
    )

    assert answer.status_code == 409
    assert answer.json["type"] == "/problems/txn-conflict"
    assert answer.json["failed"] == [
        {"index": 0, "key": "a", "revision": 1},
        {"index": 2, "key": "z", "revision": 0},
    ]


def test_empty_else_is_not_a_conflict(api):
    answer = txn(api, [{"op": "put", "key": "a", "text": "1"}],
                 if_=[{"key": "a", "exists": True}], else_=[])  # fmt: skip

    assert answer.json == {"succeeded": False, "revision": 0, "results": []}


PUT_A = {"op": "put", "key": "a", "text": "1"}


@pytest.mark.parametrize(
    "op",
    [
        None, 1, "put", [], {}, {"op": "put"}, {"op": "puts", "key": "k", "text": ""},
        {"op": [], "key": "k"}, {"key": "k", "text": "v"},
        {"op": "put", "key": "k"}, {"op": "put", "key": "k", "text": 1},
        {"op": "put", "key": "k", "text": "v", "base64": "dg=="},
        {"op": "put", "key": "k", "value": "v"}, {"op": "put", "key": "k", "base64": "dg"},
        {"op": "put", "key": "k", "base64": "d g=="}, {"op": "put", "key": "k", "base64": "dh=="},
        {"op": "put", "key": "k", "base64": "dg====" }, {"op": "put", "key": "k", "base64": "é"},
        {"op": "put", "key": "k", "base64": "-_=="}, {"op": "put", "key": "k", "text": "\udc00"},
        {"op": "put", "key": "", "text": "v"}, {"op": "put", "key": 1, "text": "v"},
        {"op": "put", "key": "\ud800", "text": "v"}, {"op": "put", "key": "x" * 65, "text": "v"},
        {"op": "put", "key": "k", "text": "v", "ttl": 0},
        {"op": "put", "key": "k", "text": "v", "ttl": -1},
        {"op": "put", "key": "k", "text": "v", "ttl": "1"},
        {"op": "put", "key": "k", "text": "v", "ttl": True},
        {"op": "put", "key": "k", "text": "v", "ttl": 10**300},
        {"op": "put", "key": "k", "text": "v", "content_type": "a\nb"},
        {"op": "put", "key": "k", "text": "v", "content_type": 1},
        {"op": "put", "key": "k", "text": "v", "contenttype": "a/b"},
        {"op": "put", "key": "k", "text": "v", "\ud800": 1},
        {"op": "delete", "key": "k", "text": "v"}, {"op": "delete"},
        {"op": "add", "key": "k", "by": 1.5}, {"op": "add", "key": "k", "by": "1"},
        {"op": "add", "key": "k", "by": True}, {"op": "add", "key": "k", "by": 2**63},
        {"op": "add", "key": "words", "by": 1}, {"op": "add", "key": "large", "by": 1},
        {"op": "touch", "key": "nothing", "ttl": 1}, {"op": "touch", "key": "k", "ttl": 0},
        {"op": "restore", "key": "words"}, {"op": "restore", "key": "words", "version": 0},
        {"op": "restore", "key": "words", "version": 9},
        {"op": "restore", "key": "nothing", "version": 1},
        {"op": "put", "key": "a", "text": "the same key again"}, {"op": "delete", "key": "a"},
    ],
)  # fmt: skip
def test_bad_op_is_422_naming_its_index_and_changes_nothing(api, op: object):
    txn(api, [{"op": "put", "key": "words", "text": "one"},
              {"op": "put", "key": "large", "text": "9" * 900 + "x"}])  # fmt: skip

    answer = txn(api, [PUT_A, op])

    assert answer.status_code == 422, answer.text
    assert answer.json["index"] == 1
    assert value(api, "a") is None


def test_bad_op_in_else_is_found_though_it_is_not_done(api):
    answer = txn(api, [PUT_A], else_=[{"op": "put", "key": "b"}])

    assert answer.status_code == 422
    assert (answer.json["list"], answer.json["index"]) == ("else", 0)
    assert value(api, "a") is None


def test_key_may_stand_in_then_and_in_else(api):
    assert txn(api, [PUT_A], else_=[PUT_A]).status_code == 200


@pytest.mark.parametrize(
    "condition",
    [None, {}, {"key": "a"}, {"revision": 1}, {"key": "a", "revision": -1},
     {"key": "", "revision": 1},
     {"key": "a", "exists": 1}, {"key": "a", "exists": "no"}, {"key": "a", "version": 0},
     {"key": "a", "version": True}, {"key": "a", "revision": 1, "value": "x"},
     {"key": "a", "revision": 1.0}],
)  # fmt: skip
def test_bad_condition_is_422_naming_its_index(api, condition: object):
    answer = txn(api, [PUT_A], if_=[{"key": "a", "exists": False}, condition])

    assert answer.status_code == 422
    assert (answer.json["list"], answer.json["index"]) == ("if", 1)
    assert value(api, "a") is None


@pytest.mark.parametrize("body", [{}, {"then": None}, {"then": {}}, {"then": [], "els": []}, [], 1])
def test_body_that_is_no_transaction_is_422(api, body: object):
    answer = api.simulate_post("/v1/txn", body=json.dumps(body), headers={"Content-Type": JSON})

    assert answer.status_code == 422


def test_limits_of_a_transaction_are_413_with_limit_and_got(api):
    def put(size: int) -> dict[str, str]:
        return {"op": "put", "key": f"k{size}", "text": "x" * size}

    many = txn(api, [{"op": "delete", "key": f"k{number}"} for number in range(11)])
    large = txn(api, [put(1_001)])
    together = txn(api, [put(999), put(998), put(997)])

    assert (many.status_code, many.json["limit"], many.json["got"]) == (413, 10, 11)
    assert (large.status_code, large.json["limit"], large.json["got"]) == (413, 1_000, 1_001)
    assert (together.status_code, together.json["limit"]) == (413, 2_000)
    assert txn(api, [put(999), put(990)]).status_code == 200


def test_expired_number_starts_again_at_0(api, clock: Clock):
    txn(api, [{"op": "put", "key": "n", "text": "41", "ttl": 1}])
    clock.advance(2)

    assert txn(api, [{"op": "add", "key": "n"}]).json["results"] == [{"version": 1, "number": 1}]
