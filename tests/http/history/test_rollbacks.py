"""Test ``/v1/diff`` and ``/v1/rollback``."""

from __future__ import annotations

import threading
from pathlib import Path

import cbor2
import falcon.testing
import pytest

from rundlet_server.functions.app import create_app
from rundlet_server.functions.settings import ServerSettings
from rundlet_server.storage.interface import Delete, Op, Put, Store, Txn
from rundlet_server.storage.opening import open_log_store
from rundlet_server.storage.settings import StoreSettings
from tests.http.history.test_moments import time_at
from tests.support.models.model import Clock, ModelStore


def do(store: Store, *ops: Op) -> int:
    return store.commit(Txn(ops)).revision


@pytest.fixture
def told(api_store: Store, clock: Clock) -> Store:
    """Revision 1 has a, b and c; 2 (a second later) has a again, d, and b no more."""
    do(api_store, *(Put(f"p/{name}", b"1", "text/plain") for name in "abc"))
    clock.advance(1)
    do(api_store, Put("p/a", b"22", ttl_s=9), Delete("p/b"), Put("p/d", b"1"))
    return api_store


def changes(answer: falcon.testing.Result) -> list[tuple[str, str]]:
    assert answer.status_code == 200, answer.text
    return [(change["key"], change["change"]) for change in answer.json["changes"]]


DIFFERENT = [("p/a", "changed"), ("p/b", "removed"), ("p/d", "added")]
BACK = [("p/a", "changed"), ("p/b", "added"), ("p/d", "removed")]


def test_difference_shows_both_sides_and_leaves_out_the_absent_one(api, told: Store):
    answer = api.simulate_get("/v1/diff?from=1")

    assert (answer.json["from"], answer.json["to"]) == (1, 2)
    assert "next" not in answer.json
    a, b, d = answer.json["changes"]
    assert a == {
        "key": "p/a",
        "change": "changed",
        "from": {
            **{"revision": 1, "version": 1, "time": time_at(0), "size": 1},
            **{"content_type": "text/plain"},
        },
        "to": {
            **{"revision": 2, "version": 2, "time": time_at(1), "size": 2},
            **{"content_type": "application/octet-stream", "expires": time_at(10)},
        },
    }
    assert (b["change"], b.keys()) == ("removed", {"key", "change", "from"})
    assert (d["change"], d.keys()) == ("added", {"key", "change", "to"})


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("from=1", DIFFERENT),
        ("from=1&to=2", DIFFERENT),
        (f"from={time_at(0)}", DIFFERENT),
        (f"from={time_at(0.5)}&to={time_at(1)}", DIFFERENT),
        (f"from={time_at(1)}&to=1", BACK),
        ("from=2&to=1", BACK),
        ("from=1&prefix=p/b", DIFFERENT[1:2]),
        ("from=1&prefix=q", []),
        ("from=2", []),
        ("from=0&to=1", [("p/a", "added"), ("p/b", "added"), ("p/c", "added")]),
    ],
)
def test_ends_are_revisions_or_times(api, told: Store, query: str, expected: object):
    assert changes(api.simulate_get("/v1/diff", query_string=query)) == expected


def test_pages_of_a_difference_stay_between_the_same_two_moments(api, told: Store, clock: Clock):
    page = api.simulate_get("/v1/diff?from=1&limit=2")
    do(told, Put("p/e", b"1"))
    clock.advance(60)

    rest = api.simulate_get(page.json["next"])

    assert page.headers["Link"] == f'<{page.json["next"]}>; rel="next"'
    assert changes(page) + changes(rest) == DIFFERENT
    assert (rest.json["from"], rest.json["to"]) == (1, 2)


def test_difference_comes_in_cbor_too(api, told: Store):
    answer = api.simulate_get("/v1/diff?from=1", headers={"Accept": "application/cbor"})

    assert cbor2.loads(answer.content) == api.simulate_get("/v1/diff?from=1").json


@pytest.mark.parametrize(
    "query",
    [
        "",
        "to=1",
        "from=x",
        "from=3",
        "from=1&to=3",
        f"from={time_at(9)}",
        "from=1&limit=0",
        "from=1&cursor=x",
        "cursor=x",
        "from=1&since=1",
        "from=-1",
    ],
)
def test_difference_of_nothing_is_400(api, told: Store, query: str):
    assert api.simulate_get("/v1/diff", query_string=query).status_code == 400


def test_cursor_of_a_list_is_none_of_a_difference(api, told: Store):
    listed = api.simulate_get("/v1/keys?limit=1").json["next"].partition("cursor=")[2]
    compared = api.simulate_get("/v1/diff?from=1&limit=1").json["next"].partition("cursor=")[2]

    assert api.simulate_get(f"/v1/diff?cursor={listed}").status_code == 400
    assert api.simulate_get(f"/v1/keys?cursor={compared}").status_code == 400


def roll_back(api: falcon.testing.TestClient, **body: object) -> falcon.testing.Result:
    return api.simulate_post("/v1/rollback", json=body)


@pytest.mark.parametrize("to", [1, time_at(0), time_at(0.9)])
def test_rollback_puts_a_prefix_back(api, told: Store, to: object):
    answer = roll_back(api, prefix="p/", to=to)

    expected = {"revision": 3, "restored": 2, "deleted": 1, "unchanged": 1}
    assert (answer.status_code, answer.json) == (200, expected)
    assert {n: told.get(f"p/{n}") and told.get(f"p/{n}").value for n in "abcd"} == {
        **{"a": b"1", "b": b"1", "c": b"1", "d": None}
    }
    assert told.get("p/a").expires_us is None
    assert told.get("p/a").content_type == "text/plain"
    assert told.get("p/c").revision == 1


def test_dry_run_shows_the_changes_and_writes_nothing(api, told: Store):
    answer = roll_back(api, prefix="", to=1, dry_run=True)

    assert changes(answer) == BACK
    assert {**answer.json, "changes": None} == {
        **{"revision": 2, "restored": 2, "deleted": 1, "unchanged": 1, "changes": None}
    }
    assert told.stats().revision == 2


def test_rollback_of_named_keys(api, told: Store):
    answer = roll_back(api, keys=["p/b", "p/c", "none"], to=1)

    assert answer.json == {"revision": 3, "restored": 1, "deleted": 0, "unchanged": 2}
    assert told.get("p/a").value == b"22"


def test_rollback_answers_in_cbor(api, told: Store):
    body = cbor2.dumps({"prefix": "p/", "to": 1})

    answer = api.simulate_post(
        "/v1/rollback", body=body, headers={"Content-Type": "application/cbor"}
    )

    assert cbor2.loads(answer.content)["restored"] == 2


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"to": 1}, 422),
        ({"prefix": "p/"}, 422),
        ({"prefix": "p/", "keys": ["a"], "to": 1}, 422),
        ({"keys": [""], "to": 1}, 422),
        ({"prefix": "p/", "to": "yesterday"}, 422),
        ({"prefix": "p/", "to": -1}, 422),
        ({"prefix": "p/", "to": 1.5}, 422),
        ({"keys": ["k"] * 21, "to": 1}, 413),
        ({"keys": ["k" * 65], "to": 1}, 422),
        ({"prefix": "p/", "to": 3}, 400),
        ({"prefix": "p/", "to": time_at(99)}, 400),
        ({"prefix": "p/", "to": 1, "dry": True}, 422),
    ],
)
def test_rollback_that_means_nothing_is_refused(
    api, told: Store, body: dict[str, object], status: int
):
    assert roll_back(api, **body).status_code == status
    assert told.stats().revision == 2


@pytest.mark.parametrize("member", ['"prefix": "\\ud800"', '"keys": ["\\ud800"]'])
def test_rollback_of_half_a_character_is_refused(api, told: Store, member: str):
    headers = {"Content-Type": "application/json"}

    answer = api.simulate_post("/v1/rollback", body=f'{{"to": 1, {member}}}', headers=headers)

    assert answer.status_code == 422


def test_rollback_of_too_many_keys_is_413_with_their_count(api, api_store: Store):
    for number in range(13):
        do(api_store, Put(f"k{number}", b"1"))

    for is_dry in (False, True):
        answer = roll_back(api, prefix="", to=0, dry_run=is_dry)

        assert answer.status_code == 413
        assert (answer.json["limit"], answer.json["got"]) == (10, 13)
    assert api_store.count() == 13


def test_what_is_no_longer_kept_is_410(clock: Clock):
    store = ModelStore(clock)
    api = falcon.testing.TestClient(create_app(store))
    for value in (b"1", b"2", b"3"):
        do(store, Put("a", value))
    store.forget_before(2)

    for answer in (
        api.simulate_get("/v1/diff?from=1"),
        api.simulate_get("/v1/diff?from=3&to=1"),
        roll_back(api, prefix="", to=1),
        roll_back(api, keys=["a"], to=1),
    ):
        assert (answer.status_code, answer.json["oldest_revision"]) == (410, 2)


@pytest.mark.parametrize(("lacks", "feature"), [("history", "history"), ("changes", "changes")])
def test_backend_that_cannot_is_501(lacks: str, feature: str):
    features = frozenset({"history", "changes"}) - {lacks}
    api = falcon.testing.TestClient(create_app(ModelStore(features=features)))

    for answer in (api.simulate_get("/v1/diff?from=0"), roll_back(api, prefix="", to=0)):
        assert (answer.status_code, answer.json["feature"]) == (501, feature)


def test_server_that_takes_no_writes_tells_what_it_would_do():
    store = ModelStore()
    do(store, Put("a", b"1"))
    api = falcon.testing.TestClient(create_app(store, ServerSettings(read_only=True)))

    assert roll_back(api, prefix="", to=0).status_code == 403
    assert roll_back(api, prefix="", to=0, dry_run=True).json["deleted"] == 1


def test_concurrent_writes_are_never_lost(tmp_path: Path):
    """Keys that another client writes are rolled back again and again; all its writes are kept."""
    store = open_log_store(tmp_path / "data", StoreSettings(sync="never"))
    api = falcon.testing.TestClient(create_app(store))
    before = do(store, Put("n/0", b"0"), Put("n/1", b"0"))
    written: list[int] = []

    def write() -> None:
        puts = (Put(f"n/{number % 2}", b"%d" % number) for number in range(100))
        written.extend(do(store, each) for each in puts)

    writer = threading.Thread(target=write)
    writer.start()
    rollbacks = []
    while writer.is_alive():
        answer = roll_back(api, prefix="n/", to=before)
        assert answer.status_code in (200, 409)
        if answer.status_code == 200:
            rollbacks.append(answer.json["revision"])
    writer.join()

    puts: list[int] = []
    for key in ("n/0", "n/1"):
        for version in store.history(key).versions:
            if version.kind == "put":
                puts.append(version.revision)
            else:
                assert version.revision in rollbacks
                assert store.get(key, at=version.revision).value == b"0"
    assert sorted(puts) == [before, before, *written]
    store.close()
