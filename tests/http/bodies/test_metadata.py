"""User metadata over HTTP: in headers, in bodies, in lists, and what is refused."""

from __future__ import annotations

from urllib.parse import quote

import cbor2
import pytest

from rundlet_server.storage.bounds import METADATA_BYTES_MAX
from rundlet_server.storage.interface import Put
from rundlet_server.storage.metadata import metadata_of
from tests.support.backends import do

HEADERS = {"KV-Meta-Author": "Zo%C3%AB", "KV-Meta-origin": "import 7, part 2"}
META = {"author": "Zoë", "origin": "import 7, part 2"}
CBOR = {"Accept": "application/cbor"}


def meta_headers(answer) -> dict[str, str]:
    return {name: text for name, text in answer.headers.items() if name.startswith("kv-meta-")}


@pytest.mark.parametrize("path", ["/v1/kv/a", "/v1/kv64/YQ"])
def test_metadata_is_shown_with_the_value_that_it_came_with(api, path):
    api.simulate_put(path, body=b"v", headers=HEADERS)

    expected = {"kv-meta-author": "Zo%C3%AB", "kv-meta-origin": "import 7, part 2"}
    assert meta_headers(api.simulate_get(path)) == expected
    assert meta_headers(api.simulate_head(path)) == expected
    assert meta_headers(api.simulate_get(path, headers={"Range": "bytes=0-0"})) == expected
    assert meta_headers(api.simulate_get(path, params={"version": "1"})) == expected


def test_a_put_without_metadata_leaves_none(api):
    api.simulate_put("/v1/kv/a", body=b"v", headers=HEADERS)
    api.simulate_put("/v1/kv/a", body=b"v", headers={"KV-Meta-Other": "x"})
    second = api.simulate_get("/v1/kv/a")
    api.simulate_put("/v1/kv/a", body=b"v")

    assert meta_headers(second) == {"kv-meta-other": "x"}
    assert meta_headers(api.simulate_get("/v1/kv/a")) == {}


def test_not_modified_means_metadata_too(api):
    etag = api.simulate_put("/v1/kv/a", body=b"v", headers=HEADERS).headers["etag"]
    answer = api.simulate_get("/v1/kv/a", headers={"If-None-Match": etag})

    assert answer.status_code == 304
    assert meta_headers(answer) == {}


@pytest.mark.parametrize(
    "text", ["100%", " blanks ", "a\nb", "\0", "é\U0001f511", "%41", "\x7f", '"quoted"; a=b']
)
def test_any_text_comes_back_as_it_was_sent(api, api_store, text):
    do(api_store, Put("a", b"v", metadata=metadata_of({"text": text})))
    shown = meta_headers(api.simulate_get("/v1/kv/a"))["kv-meta-text"]
    api.simulate_put("/v1/kv/b", body=b"v", headers={"KV-Meta-Text": shown})

    assert shown.isascii()
    assert shown.isprintable()
    assert shown == shown.strip()
    assert dict(api_store.get("b").metadata) == {"text": text}


@pytest.mark.parametrize("text", ["100%", "%4", "%zz", "%FF", "%C3", "é", "\x01", "a\tb", ""])
def test_text_that_is_not_encoded_is_refused(api, text):
    answer = api.simulate_put("/v1/kv/a", body=b"v", headers={"KV-Meta-Text": text})

    assert answer.status_code == 400
    assert answer.json["type"] == "/problems/bad-metadata"
    assert "text" in answer.json["detail"]
    assert api.simulate_get("/v1/kv/a").status_code == 404


@pytest.mark.parametrize("name", ["x" * 41, "a.b", "a!", ""])
def test_a_name_that_is_none_is_refused(api, name):
    answer = api.simulate_put("/v1/kv/a", body=b"v", headers={f"KV-Meta-{name}": "v"})

    assert (answer.status_code, answer.json["type"]) == (400, "/problems/bad-metadata")


@pytest.mark.parametrize(
    ("headers", "limit", "got"),
    [
        ({f"KV-Meta-n{number}": "x" for number in range(17)}, 16, 17),
        ({"KV-Meta-n": "x" * METADATA_BYTES_MAX}, METADATA_BYTES_MAX, METADATA_BYTES_MAX + 1),
    ],
)
def test_too_much_metadata_is_refused_with_its_limit(api, headers, limit, got):
    answer = api.simulate_put("/v1/kv/a", body=b"v", headers=headers)

    assert answer.status_code == 431
    assert answer.json["type"] == "/problems/metadata-too-large"
    assert (answer.json["limit"], answer.json["got"]) == (limit, got)


def test_limits_count_what_is_decoded(api):
    text = "é" * (METADATA_BYTES_MAX // 2 - 1)

    answer = api.simulate_put("/v1/kv/a", body=b"v", headers={"KV-Meta-nn": quote(text)})
    assert answer.status_code == 201


def test_bodies_have_it_as_an_object(api):
    put = {"op": "put", "key": "a", "text": "v", "meta": {"Author": "Zoë"}}
    assert api.simulate_post("/v1/txn", json={"then": [put]}).status_code == 200
    packed = cbor2.dumps({"then": [{"op": "put", "key": "b", "value": b"v", "meta": META}]})
    api.simulate_post("/v1/txn", body=packed, headers={"Content-Type": "application/cbor"})

    keys = {"keys": ["a", "b", "none"]}
    shown = api.simulate_post("/v1/mget", json=keys).json["items"]
    assert [item.get("meta") for item in shown] == [{"author": "Zoë"}, META, None]
    answer = api.simulate_post("/v1/mget", json=keys, headers=CBOR)
    assert [item.get("meta") for item in cbor2.loads(answer.content)["items"]] == [
        {"author": "Zoë"},
        META,
        None,
    ]


@pytest.mark.parametrize(
    ("meta", "name"),
    [
        ({"a b": "x"}, "bad-body"),
        ({"a": 5}, "bad-body"),
        ([], "bad-body"),
        ({"a": "1", "A": "2"}, "bad-operation"),
        ({f"n{number}": "x" for number in range(17)}, "metadata-too-large"),
        ({"a": ""}, "bad-operation"),
        ({"a": "x" * METADATA_BYTES_MAX}, "metadata-too-large"),
    ],
)
def test_metadata_that_is_wrong_in_a_body_is_refused_by_its_index(api, meta, name):
    puts = [{"op": "put", "key": key, "text": "v"} for key in "ab"]
    answer = api.simulate_post("/v1/txn", json={"then": [puts[0], {**puts[1], "meta": meta}]})

    assert answer.status_code == 422
    assert "then[1]" in answer.json["detail"]
    assert api.simulate_get("/v1/kv/a").status_code == 404


@pytest.mark.parametrize("media_type", ["application/json", "application/cbor"])
def test_lists_show_it_where_it_is_asked_for(api, media_type):
    api.simulate_put("/v1/kv/a", body=b"v", headers=HEADERS)
    api.simulate_put("/v1/kv/b?ttl=60", body=b"v", headers=HEADERS)
    api.simulate_put("/v1/kv/c", body=b"v")

    def listed(include: str | None) -> list[dict[str, object]]:
        params = {} if include is None else {"include": include}
        answer = api.simulate_get("/v1/keys", params=params, headers={"Accept": media_type})
        return cbor2.loads(answer.content)["keys"] if "cbor" in media_type else answer.json["keys"]

    def has_value(item: dict[str, object]) -> bool:
        return not item.keys().isdisjoint(("text", "base64", "value"))

    assert [item.get("meta") for item in listed("meta")] == [META, META, None]
    assert not any(map(has_value, listed("meta")))
    for both in ("value,meta", "meta,value"):
        assert [item.get("meta") for item in listed(both)] == [META, META, None]
        assert all(map(has_value, listed(both)))
    assert all("meta" not in item for item in [*listed(None), *listed("value")])


def test_the_next_page_shows_what_the_first_does(api):
    for key in "abc":
        api.simulate_put(f"/v1/kv/{key}", body=b"v", headers=HEADERS)
    first = api.simulate_get("/v1/keys", params={"include": "meta,value", "limit": "2"})
    path, _, query = first.json["next"].partition("?")
    [item] = api.simulate_get(path, query_string=query).json["keys"]

    assert (item["key"], item["meta"]) == ("c", META)
    assert "base64" in item


@pytest.mark.parametrize("include", ["metadata", "value,", "", "meta;value"])
def test_what_else_a_list_should_include_is_refused(api, include):
    answer = api.simulate_get("/v1/keys", query_string=f"include={include}")

    assert answer.status_code == 400
    assert "'value' or 'meta'" in answer.json["detail"]


def test_history_feed_and_differences_show_it(api):
    api.simulate_put("/v1/kv/a", body=b"v", headers=HEADERS)
    api.simulate_put("/v1/kv/a", body=b"v", headers={"KV-Meta-n": "2"})
    api.simulate_delete("/v1/kv/a")

    versions = api.simulate_get("/v1/history/a").json["versions"]
    assert [version.get("meta") for version in versions] == [None, {"n": "2"}, META]
    events = api.simulate_get("/v1/changes", params={"since": "0"}).json["events"]
    assert [event.get("meta") for event in events] == [META, {"n": "2"}, None]
    [change] = api.simulate_get("/v1/diff", params={"from": "1", "to": "2"}).json["changes"]
    assert (change["from"]["meta"], change["to"]["meta"]) == (META, {"n": "2"})


def test_a_rollback_brings_it_back(api):
    api.simulate_put("/v1/kv/a", body=b"v", headers=HEADERS)
    api.simulate_put("/v1/kv/a", body=b"v")
    api.simulate_post("/v1/rollback", json={"keys": ["a"], "to": 1})

    assert len(meta_headers(api.simulate_get("/v1/kv/a"))) == 2


@pytest.mark.parametrize("form", ["jsonl", "csv", "cbor-seq"])
def test_an_import_reads_back_what_an_export_writes(api, api_store, form):
    texts = {"text": 'a "quoted" \n,\0é', "blank": " "}
    do(api_store, Put("a", b"v", "text/plain", metadata=metadata_of(texts)), Put("b", b"\xff"))
    do(api_store, Put("c", b"v", expires_us=2**52, metadata=metadata_of(META)))
    before = [api_store.get(key).metadata for key in "abc"]
    export = api.simulate_get("/v1/export", params={"format": form})
    for key in "abc":
        api.simulate_delete(f"/v1/kv/{key}")
    media_type = export.headers["content-type"]
    answer = api.simulate_post(
        "/v1/import", body=export.content, headers={"Content-Type": media_type}
    )

    assert answer.json["imported"] == 3
    assert [api_store.get(key).metadata for key in "abc"] == before


@pytest.mark.parametrize(
    "meta", ['{"a b": "x"}', '{"a": 1}', "[]", '"text"', '{"a": "' + "x" * 2_048 + '"}']
)
def test_a_row_whose_metadata_cannot_be_stored_is_bad(api, meta):
    row = f'{{"key": "a", "text": "v", "meta": {meta}}}\n'
    answer = api.simulate_post("/v1/import", body=row, params={"format": "jsonl"})

    assert (answer.status_code, answer.json["type"]) == (422, "/problems/bad-row")
    assert "meta" in answer.json["detail"]
