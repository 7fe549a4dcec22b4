"""JSON and CBOR say the same, asked and answered; what is too much, and what comes twice."""

from __future__ import annotations

import base64
import json

import cbor2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rundlet_server.functions.messages.answers import encode_mget, encode_page
from rundlet_server.functions.messages.decoding import BodyDecoder, _count_cbor_items
from rundlet_server.functions.messages.requests import MgetRequest, Put, Transaction
from rundlet_server.functions.problems import Problem
from rundlet_server.storage.interface import Entry, KeyInfo, Page
from rundlet_server.storage.timeline import Moment
from tests.support.wire.odd_bodies import CBOR, JSON

MGET = BodyDecoder(MgetRequest, "mget_body_items_max", 100)
TXN = BodyDecoder(Transaction, "txn_body_items_max", 100)
PUT = {"op": "put", "key": "a", "text": "v"}


def problem_with(decoder: BodyDecoder, body: bytes, media_type: str = JSON) -> Problem:
    with pytest.raises(Problem) as raised:
        decoder.decode(body, media_type)
    return raised.value


TEXTS = st.text(st.characters(exclude_categories=("Cs",)), max_size=20) | st.sampled_from(
    ['"', "\\", '\\"', '\\\\"', '":', '{"key":', '"key"', "\\u0022", "[[[[", ",,,,"]
)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(keys=st.lists(TEXTS.filter(len), max_size=20), is_ascii=st.booleans(), text=TEXTS)
def test_json_and_cbor_say_the_same(keys: list[str], is_ascii: bool, text: str):
    mget, txn = {"rev": 3, "keys": keys}, {"then": [{**PUT, "text": text}], "if": []}

    for decoder, body in ((MGET, mget), (TXN, txn)):
        in_json = decoder.decode(json.dumps(body, ensure_ascii=is_ascii).encode(), JSON)
        assert in_json == decoder.decode(cbor2.dumps(body), CBOR)
    assert in_json.then == [Put("a", text)]


@pytest.mark.parametrize(
    "body",
    [
        b'{"then":[],"then":[]}',
        b'{"then":[],"th\\u0065n":[]}',
        b'{"then":[{"op":"put","key":"a","text":"v","text":"v"}]}',
        b'{"then":[{"op":"put","key":"a","text":"v","text":null}]}',
        b'{"then":[{"op":"put","key":"a","text":null,"text":"v"}]}',
        b'{"then":[{"op":"put","key":"\\\\","key":"\\"","text":"v"}]}',
        b'{"then":[{"op":"put","op":"put","key":"a","text":"v"}]}',
        b'{"then":[{"op":"put","op":"delete","key":"a"}]}',
        b'{"then":[{"op":"add","key":"a","by":1,"by":1}]}',
        b'{"then":[{"op":"put","key":"a","value":{"a":1,"a":1}}]}',
        b'{"then":[],"if":[{"key":"a","exists":true,"exists":true}]}',
        b'{"then":[],"if":null,"if":null}',
    ],
)
def test_member_that_stands_there_twice_is_refused(body: bytes):
    problem = problem_with(TXN, body)

    assert (problem.status, problem.name) == (400, "bad-body")
    assert "twice" in problem.detail


@pytest.mark.parametrize("media_type", [JSON, CBOR])
def test_null_is_the_same_as_left_out(media_type: str):
    encode = (lambda item: json.dumps(item).encode()) if media_type == JSON else cbor2.dumps
    nulls = dict.fromkeys(("base64", "value", "content_type", "ttl"))

    sparse = TXN.decode(encode({"then": [PUT]}), media_type)
    full = TXN.decode(encode({"then": [{**PUT, **nulls}], "if": None, "else": None}), media_type)

    assert sparse == full


@pytest.mark.parametrize(
    "value", [b'"YQ=="', b"1", b"99999999999999999999999", b'{"a":[]}', b"[" * 99 + b"]" * 99]
)
def test_value_is_for_cbor_alone(value: bytes, api):
    body = b'{"then":[{"op":"put","key":"a","value":' + value + b"}]}"

    answer = api.simulate_post("/v1/txn", body=body, headers={"Content-Type": JSON})

    assert answer.status_code in (400, 422)
    assert answer.json["status"] == 400 or answer.json["index"] == 0


@pytest.mark.parametrize(
    ("body", "index"),
    [
        (b'{"then":[{"op":"delete","key":"a"},{"op":"delete","key":"\\ud800"}]}', 1),
        (b'{"then":[{"op":"delete","key":"a"},{"op":"put","key":"b","text":"\\udc00"}]}', 1),
        (b'{"then":[{"op":"delete","key":"a"},{"op":"\\ud800","key":"b"}]}', 1),
        (b'{"then":[{"op":"delete","key":"a","\\ud800":1}]}', 0),
    ],
)
def test_half_of_a_surrogate_pair_is_named_by_index(body: bytes, index: int, api):
    answer = api.simulate_post("/v1/txn", body=body, headers={"Content-Type": JSON})

    assert (answer.status_code, answer.json["list"], answer.json["index"]) == (422, "then", index)


# --- answers -------------------------------------------------------------------------------

ENTRIES = st.none() | st.builds(
    Entry,
    key=st.just("-"),
    value=st.binary(max_size=300),
    revision=st.integers(1, 2**63 - 1),
    version=st.integers(1, 2**32 - 1),
    time_us=st.just(0),
    content_type=st.sampled_from(["text/plain", "image/png", "x" * 200]),
    expires_us=st.none() | st.integers(0, 10**15),
)
KEY = st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=300)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.dictionaries(KEY, ENTRIES, max_size=30), st.integers(0, 2**63 - 1))
def test_mget_is_answered_alike_in_json_and_cbor(found: dict[str, Entry | None], revision: int):
    keys, entries = list(found), list(found.values())

    in_cbor = cbor2.loads(encode_mget(keys, entries, revision, CBOR))
    in_json = json.loads(encode_mget(keys, entries, revision, JSON))

    for item in (*in_cbor["items"], *in_json["items"]):
        if "text" in item:
            item["value"] = item.pop("text").encode()
        if "base64" in item:
            item["value"] = base64.b64decode(item.pop("base64"))
    assert in_cbor == in_json
    values = [item.get("value") for item in in_cbor["items"]]
    assert values == [entry and entry.value for entry in entries]


INFOS = st.builds(
    KeyInfo,
    key=KEY,
    revision=st.integers(1, 2**63 - 1),
    version=st.integers(1, 2**32 - 1),
    size=st.integers(0, 2**26),
    content_type=st.sampled_from(["text/plain", "x" * 200]),
    entry=ENTRIES,
    time_us=st.integers(0, 10**15),
    expires_us=st.none() | st.integers(0, 10**15),
)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(
    infos=st.lists(INFOS, max_size=30),
    prefixes=st.lists(KEY, max_size=300),
    next_url=st.none() | KEY,
    are_shown=st.booleans(),
)
def test_page_is_answered_alike_in_json_and_cbor(
    infos: list[KeyInfo], prefixes: list[str], next_url: str | None, are_shown: bool
):
    keys = infos if are_shown else [info._replace(entry=None) for info in infos]
    page = Page(Moment(7, 0), keys, prefixes, None)

    in_cbor = cbor2.loads(encode_page(page, next_url, CBOR))
    in_json = json.loads(encode_page(page, next_url, JSON))

    for info in (*in_cbor["keys"], *in_json["keys"]):
        for form in ("text", "base64", "value"):
            info.pop(form, None)
    assert in_cbor == in_json


# --- counting ------------------------------------------------------------------------------


def test_as_many_items_as_a_body_may_have_are_decoded_and_one_more_is_not():
    keys = ["a"] * 97  # beside them: the object, the name of the member, and the list

    assert MGET.decode(cbor2.dumps({"keys": keys}), CBOR).keys == keys
    problem = problem_with(MGET, cbor2.dumps({"keys": [*keys, "b"]}), CBOR)

    assert (problem.status, problem.name) == (413, "too-large")
    assert problem.members == {"limit": 100, "got": 101}


@pytest.mark.parametrize(
    "body",
    [b'{"keys":[' + b'"a",' * 100 + b'"a"]}', b'{"keys":[' + b"1," * 100 + b"1]}",
     b"[" + b"[]," * 60 + b"[]]", b"{" + b'"a":1,' * 101 + b'"a":1}'],
)  # fmt: skip
def test_json_of_too_many_items_is_413(body: bytes):
    problem = problem_with(MGET, body)

    assert problem.status == 413
    assert problem.members["got"] > problem.members["limit"] == 100


def test_what_stands_within_strings_does_not_count():
    text = ",[{" * 200 + '"\\",'

    decoded = TXN.decode(json.dumps({"then": [{**PUT, "text": text}]}).encode(), JSON)

    assert decoded.then == [Put("a", text)]


def test_cbor_that_is_malformed_within_what_is_counted_is_400():
    problem = problem_with(MGET, b"\x81" * 200, CBOR)

    assert problem.status == 400
    assert "depth" in problem.detail


ITEMS = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**64), 2**64 - 1) | st.floats()
    | st.text(st.characters(exclude_categories=("Cs",)), max_size=300) | st.binary(max_size=70_000),
    lambda inner: st.lists(inner, max_size=30) | st.dictionaries(st.text("abc"), inner),
)  # fmt: skip


def count(item: object) -> int:
    if isinstance(item, dict):
        return 1 + sum(1 + count(inner) for inner in item.values())
    return 1 + sum(map(count, item)) if isinstance(item, list) else 1


@settings(max_examples=200, deadline=None, derandomize=True)
@given(item=ITEMS)
def test_items_of_cbor_are_counted_without_decoding(item: object):
    body = cbor2.dumps(item)

    assert _count_cbor_items(body, 10**9) == (count(item), len(body))


def test_reason_is_short_whatever_is_quoted(api):
    name = base64.b64encode(b"x" * 300).decode()

    answer = api.simulate_post(
        "/v1/mget", body=json.dumps({"keys": [], name: 1}), headers={"Content-Type": JSON}
    )

    assert answer.status_code == 422
    assert len(answer.json["detail"]) < 200
