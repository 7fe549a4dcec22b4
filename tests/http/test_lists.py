"""Test ``/v1/keys``: order, ranges, pages, cursors."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import cbor2
import falcon.testing
import pytest

from rundlet_server.functions.app import create_app
from rundlet_server.storage.interface import Delete, Limits, Page, Put, Store, Txn
from rundlet_server.storage.opening import open_log_store
from rundlet_server.storage.settings import StoreSettings
from tests.support.disks.unsynced_files import UnsyncedFiles
from tests.support.models.model import Clock, ModelStore

NAMES = ["a", "a/1", "a/2", "b", "b/x/1", "b/x/2", "b/y", "c", "é", "😀"]


@pytest.fixture
def filled(api_store: Store) -> Store:
    """A store that holds NAMES, each its own value."""
    for name in reversed(NAMES):
        api_store.commit(Txn([Put(name, name.encode(), "text/plain")]))
    return api_store


def keys_of(answer: falcon.testing.Result) -> list[str]:
    assert answer.status_code == 200, answer.text
    return [info["key"] for info in answer.json["keys"]]


def follow(api: falcon.testing.TestClient, path: str) -> list[falcon.testing.Result]:
    """All pages from one on, by their Link headers."""
    answers = []
    while path:
        answer = api.simulate_get(path)
        assert answer.status_code == 200, answer.text
        answers.append(answer)
        link = answer.headers.get("Link", "")
        assert link == (f'<{answer.json["next"]}>; rel="next"' if "next" in answer.json else "")
        path = answer.json.get("next", "")
    return answers


def test_all_keys_come_in_order_of_their_bytes(api, filled: Store):
    answer = api.simulate_get("/v1/keys")

    assert keys_of(answer) == NAMES
    assert answer.json["revision"] == len(NAMES)
    assert answer.json["prefixes"] == []
    assert "next" not in answer.json
    assert answer.json["keys"][0] == {
        "key": "a", "revision": 10, "version": 1, "size": 1, "content_type": "text/plain",
        "time": "2023-11-14T22:13:20.000000Z",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("query", "keys"),
    [
        ("prefix=a", ["a", "a/1", "a/2"]),
        ("prefix=a%2F", ["a/1", "a/2"]),
        ("prefix=%C3%A9", ["é"]),
        ("prefix=zzz", []),
        ("start=b%2Fy", ["b/y", "c", "é", "😀"]),
        ("end=a%2F2", ["a", "a/1"]),
        ("start=b&end=c", ["b", "b/x/1", "b/x/2", "b/y"]),
        ("start=c&end=b", []),
        ("prefix=b&start=b%2Fx%2F2", ["b/x/2", "b/y"]),
        ("reverse=true", NAMES[::-1]),
        ("reverse=1&prefix=a", ["a/2", "a/1", "a"]),
        ("reverse=false&prefix=a", ["a", "a/1", "a/2"]),
        ("limit=2&reverse", ["😀", "é"]),
        ("prefix=", NAMES),
        ("start=", NAMES),
        ("end=", NAMES),
        ("prefix=&start=&end=&reverse=", NAMES[::-1]),
        ("rev=2", ["é", "😀"]),
        ("rev=0", []),
    ],
)
def test_options_select(api, filled: Store, query: str, keys: list[str]):
    assert keys_of(api.simulate_get("/v1/keys", query_string=query)) == keys


@pytest.mark.parametrize(
    ("query", "keys", "prefixes"),
    [
        ("delimiter=%2F", ["a", "b", "c", "é", "😀"], ["a/", "b/"]),
        ("delimiter=%2F&prefix=b%2F", ["b/y"], ["b/x/"]),
        ("delimiter=%2F&prefix=b", ["b"], ["b/"]),
        ("delimiter=%2F&reverse=1", ["😀", "é", "c", "b", "a"], ["b/", "a/"]),
        ("delimiter=%2Fx%2F", ["a", "a/1", "a/2", "b", "b/y", "c", "é", "😀"], ["b/x/"]),
    ],
)
def test_delimiter_rolls_up(api, filled, query: str, keys: list[str], prefixes: list[str]):
    answer = api.simulate_get("/v1/keys", query_string=query)

    assert keys_of(answer) == keys
    assert answer.json["prefixes"] == prefixes


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 10, 20])
@pytest.mark.parametrize(
    "options", ["", "&reverse=1", "&delimiter=%2F", "&delimiter=%2F&reverse=1"]
)
def test_pages_hold_everything_once(api, filled: Store, limit: int, options: str):
    whole = api.simulate_get("/v1/keys", query_string=f"limit=20{options}").json

    pages = [answer.json for answer in follow(api, f"/v1/keys?limit={limit}{options}")]

    assert [info for page in pages for info in page["keys"]] == whole["keys"]
    assert [prefix for page in pages for prefix in page["prefixes"]] == whole["prefixes"]
    assert all(len(page["keys"]) + len(page["prefixes"]) == limit for page in pages[:-1])


def test_all_pages_are_of_one_snapshot(api, filled: Store):
    first = api.simulate_get("/v1/keys?limit=4")
    filled.commit(Txn([Delete("c"), Put("b/new", b"")]))

    rest = follow(api, first.json["next"])

    assert keys_of(first) + [key for page in rest for key in keys_of(page)] == NAMES
    assert {page.json["revision"] for page in rest} == {first.json["revision"]}


@pytest.fixture
def overtaken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """A store with one key, whose history is dropped right after the first scan."""
    store = open_log_store(
        tmp_path, StoreSettings(files=UnsyncedFiles(), keep_for_s=0, keep_versions=1)
    )
    store.commit(Txn([Put("a", b"1")]))
    scan = store.scan

    def scan_first(**options: Any) -> Page:
        page = scan(**options)
        if page.revision == 1:
            store.commit(Txn([Put("a", b"2", "text/plain")]))
            store.compact(wait=True)
        return page

    monkeypatch.setattr(store, "scan", scan_first)
    with closing(store):
        yield store


@pytest.mark.parametrize("query", ["", "include=value", "prefix=a&include=value&limit=1"])
def test_a_count_reads_no_page(api, filled: Store, monkeypatch: pytest.MonkeyPatch, query: str):
    def refuse(**_: object) -> Page:
        raise AssertionError

    with monkeypatch.context() as patched:
        patched.setattr(filled, "scan", refuse)
        counting = falcon.testing.TestClient(create_app(filled))
        answer = counting.simulate_head("/v1/keys", query_string=query)

    assert answer.status_code == 200
    assert answer.headers["KV-Count"] == str(3 if "prefix" in query else len(NAMES))


def test_a_page_with_values_is_read_at_once(overtaken: Store):
    api = falcon.testing.TestClient(create_app(overtaken))

    answer = api.simulate_get("/v1/keys?include=value")

    assert answer.status_code == 200
    assert answer.json["revision"] == 1


def test_a_count_is_of_the_revision_that_is_given(overtaken: Store):
    api = falcon.testing.TestClient(create_app(overtaken))
    before = api.simulate_head("/v1/keys?rev=1")
    api.simulate_get("/v1/keys")  # after which a compaction drops it

    after = api.simulate_head("/v1/keys?rev=1")

    assert (before.status_code, after.status_code) == (200, 410)
    assert before.headers["KV-Count"] == "1"


def test_cursor_of_a_compacted_revision_is_410():
    store = ModelStore()
    api = falcon.testing.TestClient(create_app(store))
    store.commit(Txn([Put("a", b""), Put("b", b"")]))
    path = api.simulate_get("/v1/keys?limit=1").json["next"]
    store.commit(Txn([Delete("b")]))
    store.forget_before(2)

    answer = api.simulate_get(path)

    assert answer.status_code == 410
    assert answer.json["oldest_revision"] == 2


def test_no_key_expires_between_two_pages():
    clock = Clock()
    store = ModelStore(clock)
    store.commit(Txn([Put("a", b""), Put("b", b"", ttl_s=60)]))
    api = falcon.testing.TestClient(create_app(store))
    first = api.simulate_get("/v1/keys?limit=1").json
    clock.advance(120)

    assert [line["key"] for line in first["keys"]] == ["a"]
    assert [line["key"] for line in api.simulate_get(first["next"]).json["keys"]] == ["b"]
    assert [line["key"] for line in api.simulate_get("/v1/keys").json["keys"]] == ["a"]


def test_values_are_included_on_demand(api, filled: Store):
    filled.commit(Txn([Put("binary", b"\xff")]))

    shown = api.simulate_get("/v1/keys?include=value&prefix=b").json["keys"]

    assert [info.get("text") for info in shown] == ["b", "b/x/1", "b/x/2", "b/y", None]
    assert shown[-1]["base64"] == "/w=="


def test_cbor_is_spoken_too(api, filled: Store):
    headers = {"Accept": "application/cbor"}

    answer = api.simulate_get("/v1/keys?include=value&limit=1", headers=headers)

    assert answer.headers["Content-Type"] == "application/cbor"
    assert cbor2.loads(answer.content)["keys"][0]["value"] == b"a"


def test_page_with_values_is_cut_where_they_grow_too_large(api, api_store: Store):
    for number in range(9):
        api_store.commit(Txn([Put(f"k{number}", b"x" * 400)]))

    pages = [answer.json for answer in follow(api, "/v1/keys?include=value")]

    assert [len(page["keys"]) for page in pages] == [2, 2, 2, 2, 1]


@pytest.mark.parametrize(
    "query", ["", "limit=3", "prefix=a", "delimiter=%2F", "start=b&end=c", "include=value&reverse"]
)
def test_head_counts_all_keys(api, filled: Store, query: str):
    options = "&".join(
        x for x in query.split("&") if not x.startswith(("limit", "delimiter", "include"))
    )
    count = len(keys_of(api.simulate_get("/v1/keys", query_string=options)))

    head = api.simulate_head("/v1/keys", query_string=query)

    assert head.headers["KV-Count"] == str(count)
    assert head.headers["Content-Type"] == "application/json"
    assert head.content == b""
    assert not {"Content-Length", "Link"} & set(head.headers)


@pytest.mark.parametrize(
    "query",
    ["limit=0", "limit=21", "limit=-1", "limit=x", "limit=", "reverse=maybe", "include=all",
     "delimiter=", "rev=-1", "rev=11", "prefxi=a", "cursor=", "cursor=x", "cursor=WzEsMl0",
     "cursor=WzEsMCwiYSJd&rev=1", "cursor=Wzk5OSwwLCJhIl0",
     "cursor=WzEsMCwiXHVkODAwIl0", "cursor=WzEsLTEsImEiXQ", "cursor=WzEsImEiXQ", "cursor=é",
     "prefix=%FF", "prefix=a&prefix=b", "at=2020-01-01"],
)  # fmt: skip
def test_bad_option_is_400(api, filled: Store, query: str):
    answer = api.simulate_get("/v1/keys", query_string=query)

    assert answer.status_code == 400
    assert answer.json["type"] in ("/problems/bad-query", "/problems/bad-request")


def test_cursor_of_another_store_is_400(api, filled: Store, tmp_path: Path):
    api.simulate_put("/v1/kv/z", body=b"")
    with closing(open_log_store(tmp_path / "other")) as other:
        other.commit(Txn([Put("a", b""), Put("b", b"")]))
        path = falcon.testing.TestClient(create_app(other)).simulate_get("/v1/keys?limit=1")

        answer = api.simulate_get(path.json["next"])

    assert answer.status_code == 400
    assert answer.json["type"] == "/problems/bad-query"
    assert "another store" in answer.json["detail"]
    assert "without 'cursor'" in answer.json["detail"]


def test_cursor_goes_on_after_the_store_is_opened_again(tmp_path: Path):
    with closing(open_log_store(tmp_path / "data")) as store:
        store.commit(Txn([Put("a", b""), Put("b", b"")]))
        first = falcon.testing.TestClient(create_app(store)).simulate_get("/v1/keys?limit=1")
    with closing(open_log_store(tmp_path / "data")) as store:
        second = falcon.testing.TestClient(create_app(store)).simulate_get(first.json["next"])

    assert keys_of(second) == ["b"]


@pytest.mark.parametrize(
    "changed",
    [[999, 0, "a"], [-1, 0, "a"], [1.0, 0, "a"], [1, -1, "a"], [1, 0, "\ud800"], [1, 0, None], [1]],
)
def test_cursor_that_was_changed_is_400(api, filled: Store, changed: list[object]):
    next_url = api.simulate_get("/v1/keys?limit=1").json["next"]
    cursor = next_url.rpartition("cursor=")[2]
    *_, store = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    forged = base64.urlsafe_b64encode(json.dumps([*changed, store]).encode()).decode().rstrip("=")

    answer = api.simulate_get("/v1/keys", query_string=f"cursor={forged}")

    assert answer.status_code == 400
    assert answer.json["type"] in ("/problems/bad-query", "/problems/bad-request")


def test_limit_is_at_most_what_the_store_allows():
    api = falcon.testing.TestClient(create_app(ModelStore(limits=Limits())))

    assert api.simulate_get("/v1/keys?limit=10000").status_code == 200
    assert api.simulate_get("/v1/keys?limit=10001").status_code == 400


def test_neither_json_nor_cbor_is_406(api):
    assert api.simulate_get("/v1/keys", headers={"Accept": "text/html"}).status_code == 406
