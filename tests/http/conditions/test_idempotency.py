"""Test ``Idempotency-Key``: a request that is sent again is done once."""

from __future__ import annotations

import json
from pathlib import Path

import falcon.testing
import pytest

from rundlet_server.functions.app import create_app
from rundlet_server.functions.settings import ServerSettings
from rundlet_server.functions.settings.writes import WriteSettings
from rundlet_server.storage.interface import Delete, Put, Txn
from rundlet_server.storage.outcomes.results import Commit
from rundlet_server.storage.tokens.file import TokenFile
from rundlet_server.storage.tokens.watch import TokenWatch
from tests.support.models.model import START_US, Clock, ModelStore

KEY = {"Idempotency-Key": "first"}
REPLAYED = "Idempotency-Replayed"
JSON = {"Content-Type": "application/json"}
OTHER_THAN_FIRST = (REPLAYED.lower(), "request-id")


def same(again: falcon.testing.Result, first: falcon.testing.Result) -> bool:
    """Whether an answer is the first one, byte for byte, but for what says that it is a replay."""
    answers = [
        (
            each.status,
            each.content,
            {k.lower(): v for k, v in each.headers.items() if k.lower() not in OTHER_THAN_FIRST},
        )
        for each in (again, first)
    ]
    return (
        answers[0] == answers[1]
        and again.headers.get(REPLAYED) == "true"
        and REPLAYED not in first.headers
    )


def txn(api, key: str, text: str = "v", **headers: str) -> falcon.testing.Result:
    body = json.dumps(
        {"then": [{"op": "put", "key": "a", "text": text}, {"op": "add", "key": "n"}]}
    )
    return api.simulate_post(
        "/v1/txn", body=body, headers={**JSON, "Idempotency-Key": key, **headers}
    )


@pytest.mark.parametrize("key", ["x", "a b", '"quoted"', r'"\"\\"', "~" * 128, "8e03-4b, x"])
def test_put_sent_again_is_answered_as_the_first_time(api, key: str):
    asked = {"headers": {"Idempotency-Key": key, "If-None-Match": "*"}, "body": b"v"}
    first = api.simulate_put("/v1/kv/a", **asked)
    api.simulate_put("/v1/kv/a", body=b"later")

    again = api.simulate_put("/v1/kv/a", **asked)

    assert first.status_code == 201
    assert same(again, first)
    assert api.simulate_get("/v1/kv/a").content == b"later"


def test_a_quoted_key_is_the_same_as_a_plain_one(api):
    first = api.simulate_put("/v1/kv/a", body=b"v", headers={"Idempotency-Key": 'a"\\b'})

    again = api.simulate_put("/v1/kv/a", body=b"v", headers={"Idempotency-Key": ' "a\\"\\\\b" '})

    assert same(again, first)


@pytest.mark.parametrize(
    "key", ["", " ", '""', "x" * 129, '"a', '"a"b', '"a";p=1', '"a", "a"', "\x7f", "ü", r'"\a"']
)
def test_a_malformed_key_is_refused(api, api_store, key: str):
    answer = api.simulate_put("/v1/kv/a", body=b"v", headers={"Idempotency-Key": key})

    assert (answer.status_code, answer.json["type"]) == (400, "/problems/bad-idempotency-key")
    assert api_store.get("a") is None


def test_replacing_and_deleting_are_answered_as_the_first_time(api):
    api.simulate_put("/v1/kv/a", body=b"old")
    put = api.simulate_put("/v1/kv/a", body=b"v", headers=KEY)
    deleted = api.simulate_delete("/v1/kv/a", headers={"Idempotency-Key": "second"})

    assert (put.status_code, deleted.status_code) == (204, 204)
    assert same(api.simulate_put("/v1/kv/a", body=b"v", headers=KEY), put)
    again = api.simulate_delete("/v1/kv/a", headers={"Idempotency-Key": "second"})
    assert same(again, deleted)


def test_both_spellings_of_a_key_are_one_request(api):
    first = api.simulate_put("/v1/kv/a", body=b"v", headers=KEY)

    assert same(api.simulate_put("/v1/kv64/YQ", body=b"v", headers=KEY), first)


@pytest.mark.parametrize("accept", ["application/json", "application/cbor"])
def test_transaction_sent_again_is_answered_as_the_first_time(api, accept: str):
    first = txn(api, "k", Accept=accept)

    assert first.status_code == 200
    assert same(txn(api, "k", Accept=accept), first)
    assert api.simulate_get("/v1/kv/n").content == b"1"


def test_rollback_sent_again_is_answered_as_the_first_time(api):
    to = int(api.simulate_put("/v1/kv/a", body=b"one").headers["KV-Revision"])
    for key in ("a", "b"):
        api.simulate_put(f"/v1/kv/{key}", body=b"two")
    body = json.dumps({"prefix": "", "to": to})
    first = api.simulate_post("/v1/rollback", body=body, headers={**JSON, **KEY})
    api.simulate_put("/v1/kv/a", body=b"three")

    again = api.simulate_post("/v1/rollback", body=body, headers={**JSON, **KEY})

    assert {**first.json, "revision": 0} == {
        "revision": 0,
        "restored": 1,
        "deleted": 1,
        "unchanged": 0,
    }
    assert same(again, first)
    assert api.simulate_get("/v1/kv/a").content == b"three"


def test_rollback_to_what_is_gone_by_now_is_answered_as_the_first_time():
    store = ModelStore(Clock())
    api = falcon.testing.TestClient(create_app(store))
    to = int(api.simulate_put("/v1/kv/a", body=b"one").headers["KV-Revision"])
    api.simulate_put("/v1/kv/a", body=b"two")
    body = json.dumps({"prefix": "", "to": to})
    first = api.simulate_post("/v1/rollback", body=body, headers={**JSON, **KEY})
    store.forget_before(to + 1)

    again = api.simulate_post("/v1/rollback", body=body, headers={**JSON, **KEY})

    assert same(again, first)


@pytest.mark.parametrize("more", ["", "&atomic=true", "&match=*"])
def test_a_deletion_by_prefix_sent_again_is_answered_as_the_first_time(api, more: str):
    for key in ("p/1", "p/2", "q"):
        api.simulate_put(f"/v1/kv/{key}", body=b"v")
    asked = {"query_string": f"prefix=p/&expect=2{more}", "headers": KEY}
    first = api.simulate_delete("/v1/keys", **asked)
    api.simulate_put("/v1/kv/p/3", body=b"later")

    again = api.simulate_delete("/v1/keys", **asked)

    assert first.json == {"revision": 4, "deleted": 2}
    assert same(again, first)
    assert api.simulate_get("/v1/kv/p/3").content == b"later"


def test_a_deletion_that_is_in_flight_twice_is_done_once():
    class Overtaken(ModelStore):
        """The same request is done between the look for its outcome and the count."""

        def commit(self, txn: Txn) -> Commit:
            commit = super().commit(txn)
            if not txn.then and not answers:
                answers.append(commit)  # it is asked for once more, by the one that overtakes
                answers.append(api.simulate_delete("/v1/keys", **asked))
            return commit

    answers: list[object] = []
    api = falcon.testing.TestClient(create_app(Overtaken(Clock())))
    api.simulate_put("/v1/kv/p", body=b"v")
    asked = {"query_string": "prefix=p&expect=1", "headers": KEY}

    second = api.simulate_delete("/v1/keys", **asked)

    assert same(second, answers[1])


def test_another_deletion_with_the_same_key_is_refused(api):
    for key in ("p/1", "q/1"):
        api.simulate_put(f"/v1/kv/{key}", body=b"v")
    api.simulate_delete("/v1/keys", query_string="prefix=p/&expect=1", headers=KEY)

    answer = api.simulate_delete("/v1/keys", query_string="prefix=q/&expect=1", headers=KEY)

    assert (answer.status_code, answer.json["type"]) == (422, "/problems/idempotency-key-reused")
    assert api.simulate_get("/v1/kv/q/1").status_code == 200


def test_a_deletion_in_several_transactions_takes_no_key(api, api_store):
    api.simulate_put("/v1/kv/p/1", body=b"v")

    asked = "prefix=p/&expect=1&atomic=false"
    answer = api.simulate_delete("/v1/keys", query_string=asked, headers=KEY)

    assert (answer.status_code, answer.json["type"]) == (400, "/problems/bad-idempotency-key")
    assert "several transactions" in answer.json["detail"]
    assert api_store.get("p/1") is not None


def test_replays_are_counted(api):
    for _ in range(3):
        txn(api, "k")
        api.simulate_put("/v1/kv/a", body=b"v", headers={"Idempotency-Key": "other"})

    metrics = api.simulate_get("/metrics").text.splitlines()

    assert "rundlet_replays_total 4" in metrics
    assert 'rundlet_operations_total{operation="set"} 3' in metrics


def test_a_dry_run_is_not_remembered(api):
    api.simulate_put("/v1/kv/a", body=b"one")
    dry = json.dumps({"prefix": "", "to": 0, "dry_run": True})
    api.simulate_post("/v1/rollback", body=dry, headers={**JSON, **KEY})

    again = api.simulate_post("/v1/rollback", body=dry, headers={**JSON, **KEY})

    assert again.status_code == 200
    assert REPLAYED not in again.headers


@pytest.mark.parametrize(
    "other",
    [
        {"body": b"w"},
        {"body": b"v", "path": "/v1/kv/b"},
        {"body": b"v", "query_string": "ttl=5"},
        {"body": b"v", "method": "DELETE"},
        {"body": b"v", "content_type": "text/plain"},
        {"body": b"v", "headers": {**KEY, "If-Match": "*"}},
        {"body": b"v", "headers": {**KEY, "If-None-Match": '"1-0"'}},
        {"body": b"v", "headers": {**KEY, "If-Unmodified-Since": "Tue, 14 Nov 2033 22:13:20 GMT"}},
        {"body": b"v", "headers": {**KEY, "KV-Meta-a": "b"}},
    ],
)
def test_a_key_with_another_request_is_refused(api, other: dict[str, object]):
    asked = {"method": "PUT", "path": "/v1/kv/a", "headers": KEY}
    api.simulate_request(**asked, body=b"v")

    answer = api.simulate_request(**{**asked, **other})

    assert (answer.status_code, answer.json["type"]) == (422, "/problems/idempotency-key-reused")
    assert api.simulate_get("/v1/kv/a").content == b"v"


def test_a_key_of_another_route_is_refused(api):
    api.simulate_put("/v1/kv/a", body=b"v", headers={"Idempotency-Key": "k"})

    assert txn(api, "k").status_code == 422


def test_a_failed_precondition_is_not_remembered(api, api_store):
    api.simulate_put("/v1/kv/a", body=b"v")
    asked = {"body": b"w", "headers": {**KEY, "If-None-Match": "*"}}
    assert api.simulate_put("/v1/kv/a", **asked).status_code == 412
    api_store.commit(Txn([Delete("a")]))

    assert api.simulate_put("/v1/kv/a", **asked).status_code == 201


def test_a_delete_that_found_nothing_is_not_remembered(api):
    assert api.simulate_delete("/v1/kv/a", headers=KEY).status_code == 404
    api.simulate_put("/v1/kv/a", body=b"v")

    assert api.simulate_delete("/v1/kv/a", headers=KEY).status_code == 204


def test_its_own_write_does_not_make_it_too_late():
    """The date is decided before the commit, and what modified the value is the request itself."""
    clock = Clock(START_US)
    store = ModelStore(clock)
    store.commit(Txn([Put("a", b"old")]))
    clock.advance(60)
    api = falcon.testing.TestClient(create_app(store))
    asked = {
        "body": b"v",
        "headers": {**KEY, "If-Unmodified-Since": "Tue, 14 Nov 2023 22:13:30 GMT"},
    }
    first = api.simulate_put("/v1/kv/a", **asked)

    assert first.status_code == 204
    assert same(api.simulate_put("/v1/kv/a", **asked), first)
    other = {**asked, "headers": {**asked["headers"], "Idempotency-Key": "other"}}
    assert api.simulate_put("/v1/kv/a", **other).status_code == 412


def test_a_replay_counts_no_operation(api, api_counters):
    for _ in range(3):
        api.simulate_put("/v1/kv/a", body=b"v", headers=KEY)

    assert api_counters.totals()["set"] == 1


def test_reads_ignore_the_header(api):
    api.simulate_put("/v1/kv/a", body=b"v", headers=KEY)

    assert api.simulate_get("/v1/kv/a", headers={"Idempotency-Key": '"broken'}).content == b"v"
    assert REPLAYED not in api.simulate_get("/v1/kv/a", headers=KEY).headers


def test_the_setting_says_how_long_it_is_remembered():
    clock = Clock(START_US)
    settings = ServerSettings(writes=WriteSettings(idempotency_s=5.0))
    api = falcon.testing.TestClient(create_app(ModelStore(clock), settings))
    txn(api, "k")
    clock.advance(4)
    assert REPLAYED in txn(api, "k").headers
    clock.advance(2)

    assert REPLAYED not in txn(api, "k").headers
    assert api.simulate_get("/v1").json["limits"]["idempotency_s"] == 5


def test_keys_are_those_of_a_token(tmp_path: Path):
    store = ModelStore(Clock())
    tokens = TokenFile(tmp_path)
    api = falcon.testing.TestClient(create_app(store, tokens=TokenWatch(tmp_path)))
    txn(api, "k")  # before there is any token
    secrets = [tokens.add(name, "write")[1] for name in ("one", "two")]
    mine, other = [{"Authorization": f"Bearer {secret}"} for secret in secrets]

    assert REPLAYED not in txn(api, "k", "mine", **mine).headers
    assert REPLAYED not in txn(api, "k", "other", **other).headers
    assert REPLAYED in txn(api, "k", "mine", **mine).headers
    assert txn(api, "k", "other", **mine).status_code == 422
    entry = store.get("n")
    assert entry is not None
    assert entry.value == b"3"


def test_a_token_that_may_not_write_the_key_learns_nothing(tmp_path: Path):
    store = ModelStore(Clock())
    tokens = TokenFile(tmp_path)
    api = falcon.testing.TestClient(create_app(store, tokens=TokenWatch(tmp_path)))
    secret = tokens.add("reader", "read")[1]

    assert txn(api, "k", Authorization=f"Bearer {secret}").status_code == 403
