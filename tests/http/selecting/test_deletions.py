"""Test ``DELETE /v1/keys``."""

from __future__ import annotations

import json
from collections.abc import Callable

import falcon.testing
import pytest

from rundlet_server.functions.app import create_app
from rundlet_server.functions.settings import ServerSettings
from rundlet_server.storage.counting.counters import OperationCounters
from rundlet_server.storage.errors import Unavailable
from rundlet_server.storage.interface import Delete, Limits, Op, Put, Store, Txn
from rundlet_server.storage.outcomes.results import Commit
from rundlet_server.storage.tokens.file import TokenFile
from tests.support.models.model import Clock, ModelStore

NAMES = ["a/1", "a/2.txt", "a/b/3.txt", "b/1"]
LIMITS = Limits(txn_ops_max=10, list_keys_max=20)


@pytest.fixture
def filled(api_store: Store) -> Store:
    api_store.commit(Txn([Put(name, b"1") for name in NAMES]))
    return api_store


def put_many(store: Store, count: int) -> list[str]:
    keys = [f"k/{number:03}" for number in range(count)]
    limit = store.info.limits.txn_ops_max
    for start in range(0, count, limit):
        store.commit(Txn([Put(key, b"1") for key in keys[start : start + limit]]))
    return keys


def keys_in(store: Store) -> list[str]:
    return [info.key for info in store.scan(limit=20).keys]


def ask(api: falcon.testing.TestClient, query: str) -> falcon.testing.Result:
    return api.simulate_delete("/v1/keys", query_string=query)


@pytest.mark.parametrize(
    ("query", "left"),
    [
        ("prefix=a/&expect=3", ["b/1"]),
        ("prefix=a/1&expect=1", ["a/2.txt", "a/b/3.txt", "b/1"]),
        ("prefix=a/&match=*.txt&expect=2", ["a/1", "b/1"]),
        ("prefix=a/&match=?.txt&expect=1", ["a/1", "a/b/3.txt", "b/1"]),
        ("prefix=a/&match=*.txt&expect=2&atomic=true", ["a/1", "b/1"]),
        ("prefix=a/&match=*.txt&expect=2&atomic=false", ["a/1", "b/1"]),
    ],
)
def test_as_many_keys_as_expected_are_deleted_in_one_commit(
    api, filled: Store, api_counters: OperationCounters, query: str, left: list[str]
):
    answer = ask(api, query)

    count = len(NAMES) - len(left)
    assert (answer.status_code, answer.json) == (200, {"revision": 2, "deleted": count})
    assert keys_in(filled) == left
    assert api_counters.totals()["delete"] == count


@pytest.mark.parametrize("more", ["", "&atomic=false"])
@pytest.mark.parametrize(
    ("query", "count"),
    [
        ("prefix=a/&expect=2", 3),
        ("prefix=a/&expect=4", 3),
        ("prefix=a/&expect=0", 3),
        ("prefix=none&expect=1", 0),
        ("prefix=a/&match=*.txt&expect=3", 2),
    ],
)
def test_another_count_than_expected_deletes_nothing(
    api, filled: Store, query: str, count: int, more: str
):
    answer = ask(api, query + more)

    assert (answer.status_code, answer.json["count"]) == (412, count)
    assert answer.json["type"] == "/problems/precondition-failed"
    assert "deleted" not in answer.json
    assert keys_in(filled) == NAMES


@pytest.mark.parametrize("more", ["", "&atomic=false"])
def test_deletion_of_no_key_is_no_commit(api, filled: Store, more: str):
    answer = ask(api, "prefix=none&expect=0" + more)

    assert (answer.status_code, answer.json) == (200, {"revision": 1, "deleted": 0})
    assert filled.stats().revision == 1


@pytest.mark.parametrize(
    "query",
    [
        "",
        "expect=4",
        "prefix=&expect=4",
        "prefix=a/",
        "prefix=a/&expect=",
        "prefix=a/&expect=-1",
        "prefix=a/&expect=3.0",
        "prefix=a/&expect=3&match=",
        "prefix=a/&expect=3&atomic=no",
        "prefix=a/&expect=3&rev=1",
        "prefix=a/&expect=3&start=a",
    ],
)
def test_deletion_that_is_not_precise_is_refused(api, filled: Store, query: str):
    assert ask(api, query).status_code == 400
    assert keys_in(filled) == NAMES


def test_more_keys_than_a_transaction_holds_are_deleted_in_batches_only(api, api_store: Store):
    limit = api_store.info.limits.txn_ops_max
    count = 4 * limit + 5
    put_many(api_store, count)
    api_store.commit(Txn([Put("other", b"1")]))

    refused = ask(api, f"prefix=k/&expect={count}")
    wrong = ask(api, f"prefix=k/&expect={count + 1}")
    stored = api_store.count()
    done = ask(api, f"prefix=k/&expect={count}&atomic=false")

    assert (refused.status_code, wrong.status_code, stored) == (413, 412, count + 1)
    assert (refused.json["limit"], refused.json["got"]) == (limit, count)
    assert done.json["deleted"] == count
    assert done.json["revision"] == api_store.stats().revision
    assert keys_in(api_store) == ["other"]


def test_batches_shrink_to_the_bytes_that_a_transaction_holds():
    store = ModelStore(Clock(), Limits(txn_ops_max=10, txn_bytes_max=60, list_keys_max=20))
    for number in range(9):
        store.commit(Txn([Put(f"k/{number}{'x' * 15}", b"1")]))
    api = falcon.testing.TestClient(create_app(store))

    at_once = ask(api, "prefix=k/&expect=9")
    in_batches = ask(api, "prefix=k/&expect=9&atomic=false")

    assert (at_once.status_code, in_batches.json["deleted"]) == (413, 9)
    assert keys_in(store) == []


class RacedStore(ModelStore):
    """A store in which another client writes before a deletion is committed."""

    def __init__(self) -> None:
        super().__init__(Clock(), LIMITS)
        self.race: Callable[[int], list[Op]] = lambda _: []
        self.attempts = 0

    def commit(self, txn: Txn) -> Commit:
        if txn.conditions:
            self.attempts += 1
            other = self.race(self.attempts)
            if other:
                super().commit(Txn(other))
        return super().commit(txn)


def raced(race: Callable[[int], list[Op]], count: int = 3) -> tuple[RacedStore, list[str]]:
    store = RacedStore()
    keys = put_many(store, count)
    store.race = race
    return store, keys


@pytest.mark.parametrize("more", ["", "&atomic=false"])
def test_key_that_is_written_meanwhile_is_read_again(more: str):
    store, _ = raced(lambda attempt: [Put("k/001", b"2")] if attempt < 3 else [])

    answer = ask(falcon.testing.TestClient(create_app(store)), "prefix=k/&expect=3" + more)

    assert (answer.status_code, answer.json["deleted"], store.attempts) == (200, 3, 3)
    assert keys_in(store) == []


def test_key_that_goes_meanwhile_makes_another_count_of_one_transaction():
    store, keys = raced(lambda attempt: [Delete("k/001")] if attempt == 1 else [])

    answer = ask(falcon.testing.TestClient(create_app(store)), "prefix=k/&expect=3")

    assert (answer.status_code, answer.json["count"]) == (412, 2)
    assert keys_in(store) == [keys[0], keys[2]]


def test_key_that_goes_meanwhile_is_left_out_of_a_batch():
    store, _ = raced(lambda attempt: [Delete("k/001")] if attempt == 1 else [])

    answer = ask(falcon.testing.TestClient(create_app(store)), "prefix=k/&expect=3&atomic=false")

    assert (answer.status_code, answer.json["deleted"]) == (200, 2)
    assert keys_in(store) == []


def test_key_that_comes_meanwhile_stays():
    store, _ = raced(lambda attempt: [Put("k/0001", b"1")] if attempt == 1 else [], 15)

    answer = ask(falcon.testing.TestClient(create_app(store)), "prefix=k/&expect=15&atomic=false")

    assert (answer.status_code, answer.json["deleted"]) == (200, 15)
    assert keys_in(store) == ["k/0001"]


@pytest.mark.parametrize("more", ["", "&atomic=false"])
def test_deletion_gives_up_on_keys_that_are_written_all_the_time(more: str):
    store, keys = raced(lambda _: [Put("k/001", b"2")])

    answer = ask(falcon.testing.TestClient(create_app(store)), "prefix=k/&expect=3" + more)

    assert answer.status_code == 409
    assert answer.json["type"] == "/problems/delete-conflict"
    assert [failed["key"] for failed in answer.json["failed"]] == ["k/001"]
    assert keys_in(store) == keys


def test_answer_to_a_deletion_that_breaks_off_says_how_many_are_deleted():
    class Breaking(RacedStore):
        def commit(self, txn: Txn) -> Commit:
            if self.attempts == 1:
                raise Unavailable("the disk failed")
            return super().commit(txn)

    store = Breaking()
    keys = put_many(store, 15)

    answer = ask(falcon.testing.TestClient(create_app(store)), "prefix=k/&expect=15&atomic=false")

    assert (answer.status_code, answer.json["deleted"]) == (503, 10)
    assert "Retry-After" not in answer.headers
    assert keys_in(store) == keys[10:]


def test_read_only_server_deletes_nothing():
    store = ModelStore(Clock(), LIMITS)
    put_many(store, 2)
    api = falcon.testing.TestClient(create_app(store, ServerSettings(read_only=True)))

    answer = ask(api, "prefix=k/&expect=2")

    assert (answer.status_code, answer.json["type"]) == (403, "/problems/read-only")
    assert store.count() == 2


def test_token_deletes_within_its_prefix_only_and_the_audit_tells_what(tmp_path):
    store = ModelStore(Clock(), LIMITS)
    store.commit(Txn([Put(name, b"1") for name in NAMES]))
    tokens = TokenFile(tmp_path)
    _, secret = tokens.add("own", "write", prefix="a/")
    settings = ServerSettings(audit_path=tmp_path / "audit")
    api = falcon.testing.TestClient(create_app(store, settings, tokens=tokens.watch()))
    headers = {"Authorization": f"Bearer {secret}"}
    queries = ["prefix=a&expect=3", "prefix=b/&expect=1", "prefix=a/&expect=9"]
    queries += ["prefix=a/&match=*.txt&expect=2", "prefix=a/&expect=1&atomic=false"]

    answers = [api.simulate_delete("/v1/keys", query_string=q, headers=headers) for q in queries]

    lines = [json.loads(line) for line in (tmp_path / "audit").read_text().splitlines()]
    assert [answer.status_code for answer in answers] == [403, 403, 412, 200, 200]
    assert [(line["keys"], line.get("revision")) for line in lines] == [
        (["a"], None),
        (["b/"], None),
        (["a/"], None),
        (["a/2.txt", "a/b/3.txt"], 2),
        (["a/"], None),
    ]
    assert keys_in(store) == ["b/1"]
