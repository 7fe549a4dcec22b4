"""Test ``match`` on ``/v1/keys``."""

from __future__ import annotations

import time
import warnings
from urllib.parse import quote

import falcon.testing
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rundlet_server.functions.app import create_app
from rundlet_server.storage.bounds import GLOB_CHARACTERS_MAX
from rundlet_server.storage.interface import Put, Store, Txn
from rundlet_server.storage.selecting import matching
from rundlet_server.storage.selecting.globs import Glob
from rundlet_server.storage.tokens.file import TokenFile
from tests.http.test_lists import follow, keys_of
from tests.support.models.model import Clock, ModelStore

NAMES = ["log/1.txt", "log/2.txt", "log/a/3.txt", "log/b.json", "log/é.txt", "other.txt"]


@pytest.fixture
def filled(api_store: Store) -> Store:
    for name in NAMES:
        api_store.commit(Txn([Put(name, name.encode(), "text/plain", metadata=(("n", "1"),))]))
    return api_store


def put_many(store: Store, keys: list[str]) -> None:
    limit = store.info.limits.txn_ops_max
    for start in range(0, len(keys), limit):
        store.commit(Txn([Put(key, b"1" * 40, "text/plain") for key in keys[start:][:limit]]))


@pytest.mark.parametrize(
    ("prefix", "glob", "expected"),
    [
        ("log/", "*", NAMES[:5]),
        ("log/", "*.txt", ["log/1.txt", "log/2.txt", "log/a/3.txt", "log/é.txt"]),
        ("log/", "?.txt", ["log/1.txt", "log/2.txt", "log/é.txt"]),
        ("log/", "[12].txt", ["log/1.txt", "log/2.txt"]),
        ("log/", "[!12].txt", ["log/é.txt"]),
        ("log/", "*/*", ["log/a/3.txt"]),
        ("log/", "log/*", []),
        ("lo", "g/1.txt", ["log/1.txt"]),
        ("", "o*", ["other.txt"]),
        ("", "O*", []),
        ("log/", "[", []),
    ],
)
def test_glob_is_matched_with_the_whole_rest_of_a_key(
    api, filled: Store, prefix: str, glob: str, expected: list[str]
):
    target = f"/v1/keys?prefix={quote(prefix)}&match={quote(glob)}"

    assert keys_of(api.simulate_get(target)) == expected
    assert keys_of(api.simulate_get(target + "&reverse")) == expected[::-1]
    assert api.simulate_head(target).headers["KV-Count"] == str(len(expected))


def test_pages_of_matching_keys_have_the_same_snapshot_and_glob(api, filled: Store):
    path = "/v1/keys?prefix=log/&match=*.txt&limit=1"
    first = api.simulate_get(path)
    filled.commit(Txn([Put("log/15.txt", b"")]))

    later = follow(api, first.json["next"])

    pages = [keys_of(answer) for answer in (first, *later)]
    assert pages[:4] == [["log/1.txt"], ["log/2.txt"], ["log/a/3.txt"], ["log/é.txt"]]
    assert pages[4:] in ([], [[]])
    assert {answer.json["revision"] for answer in (first, *later)} == {len(NAMES)}


def test_page_reads_a_bounded_number_of_keys_and_goes_on(api, api_store: Store):
    put_many(api_store, [f"k/{number:03}" for number in range(50)])

    answers = follow(api, "/v1/keys?match=*49")

    assert [keys_of(answer) for answer in answers] == [[], [], ["k/049"]]


def test_page_matches_a_bounded_number_of_characters(monkeypatch, api, api_store: Store):
    monkeypatch.setattr(matching, "_STEPS_MAX", 3 * len("k/000") * len("*4"))
    put_many(api_store, [f"k/{number:03}" for number in range(7)])

    answers = follow(api, "/v1/keys?match=*4")

    assert [keys_of(answer) for answer in answers] == [[], ["k/004"], []]


def test_values_come_with_keys_that_match_within_the_bound_of_an_answer(api, api_store: Store):
    put_many(api_store, [f"k/{number:03}" for number in range(40)])
    api_store.commit(Txn([Put(f"k/{number:03}", b"x" * 600) for number in (4, 6)]))

    answers = follow(api, "/v1/keys?match=*[46]&include=value")

    sizes = [sum(info["size"] for info in answer.json["keys"]) for answer in answers]
    shown = [info for answer in answers for info in answer.json["keys"]]
    assert [info["key"] for info in shown] == [f"k/{n:03}" for n in range(40) if n % 10 in (4, 6)]
    assert all("text" in info or "base64" in info for info in shown)
    assert max(sizes) <= api_store.info.limits.answer_bytes_max


def test_metadata_comes_with_keys_that_match(api, filled: Store):
    answer = api.simulate_get("/v1/keys?match=o*&include=meta,value")

    assert [info["meta"] for info in answer.json["keys"]] == [{"n": "1"}]
    assert [info["text"] for info in answer.json["keys"]] == ["other.txt"]


def test_old_revision_is_matched_too(api, filled: Store):
    assert keys_of(api.simulate_get("/v1/keys?match=*.txt&rev=2")) == NAMES[:2]
    assert api.simulate_head("/v1/keys?match=*.txt&rev=2").headers["KV-Count"] == "2"


@pytest.mark.parametrize(
    "query", ["match=", f"match={'a' * (GLOB_CHARACTERS_MAX + 1)}", "match=*&delimiter=/"]
)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_wrong_glob_is_refused(api, method: str, query: str):
    answer = api.simulate_request(method, "/v1/keys", query_string=query)

    assert answer.status_code == 400


def test_glob_stands_behind_the_prefix_asked_for_whatever_a_token_may_see(tmp_path):
    store = ModelStore(Clock())
    put_many(store, ["a/1", "a/b/1", "a/b/2", "a/b/c/1", "b/1"])
    tokens = TokenFile(tmp_path)
    _, secret = tokens.add("own", "read", prefix="a/b/")
    api = falcon.testing.TestClient(create_app(store, tokens=tokens.watch()))
    headers = {"Authorization": f"Bearer {secret}"}
    path, shown = "/v1/keys?prefix=a/&match=?/*&limit=1", []
    while path:
        answer = api.simulate_get(path, headers=headers)
        shown += keys_of(answer)
        path = answer.json.get("next")

    count = api.simulate_head("/v1/keys?prefix=a/&match=b/?", headers=headers)

    assert shown == ["a/b/1", "a/b/2", "a/b/c/1"]
    assert count.headers["KV-Count"] == "2"


PATHOLOGICAL = [
    "*a" * (GLOB_CHARACTERS_MAX // 2 - 1) + "b",
    "*" + "a" * (GLOB_CHARACTERS_MAX - 2) + "b",
    "*" + "?" * (GLOB_CHARACTERS_MAX - 2) + "b",
    "*" + "[ab]" * (GLOB_CHARACTERS_MAX // 4 - 1) + "c",
    "*?" * (GLOB_CHARACTERS_MAX // 2 - 1) + "b",
    "?*" * (GLOB_CHARACTERS_MAX // 2 - 2) + "b*c",
    "*" * (GLOB_CHARACTERS_MAX - 1) + "b",
]


@pytest.mark.parametrize("pattern", PATHOLOGICAL)
def test_time_to_match_a_key_grows_no_faster_than_its_length(pattern: str):
    glob = Glob(pattern, 0)

    def time_for(length: int) -> float:
        times = []
        for _ in range(5):
            start = time.thread_time()
            assert not glob.matches("a" * length)
            times.append(time.thread_time() - start)
        return min(times)

    # 64 times as long; backtracking would take at least 4,096 times as long, or for ever.
    assert time_for(2_048 * 64) < 1_000 * max(time_for(2_048), 20e-6)


@given(st.text("ab*?[]!-^&~|\\/\n", min_size=1, max_size=12), st.text("ab-/\\[\n", max_size=12))
def test_any_text_is_a_glob_and_means_what_a_plain_matcher_says(pattern: str, key: str):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        glob = Glob(pattern, 0)

    found = glob.matches(key)

    if "[" not in pattern:
        assert found == plainly_matches(pattern, key)


def plainly_matches(pattern: str, key: str) -> bool:
    """Whether a glob without sets matches, by its definition."""
    reached = {0}
    for part in pattern:
        if part == "*":
            reached = set(range(min(reached, default=len(key) + 1), len(key) + 1))
        else:
            reached = {i + 1 for i in reached if key[i:] and part in ("?", key[i])}
    return len(key) in reached
