"""Send ``mget`` and transaction bodies, and check everything that they cause."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import NamedTuple

import cbor2
import falcon.testing

from rundlet_server.functions.app import create_app
from rundlet_server.storage.interface import Put, Store, Txn
from tests.conftest import SMALL_LIMITS
from tests.support.models import txn_reference as reference
from tests.support.models.txn_reference import Held, History, NotDone, Refused, State
from tests.support.wire.odd_bodies import JSON, encode, is_odd

TEXT = "text/plain; charset=utf-8"
HELD: State = {
    "n": Held(b"5", TEXT, 2),
    "t": Held(b"two", "text/css", 2, expires=True),
    "big": Held(b"9" * 30, TEXT, 1),
    "é/": Held(b"\xff\0", "application/octet-stream", 1),
}
HISTORY: History = {
    ("n", 1): Held(b"4", TEXT, 1),
    ("t", 1): Held(b"one", "text/css", 1),
    **{(key, held.version): held for key, held in HELD.items()},
}
REFUSALS = {400, 410, 413, 422}


class Api:
    """The API over a store that holds ``HELD``, and nothing else, before each request."""

    def __init__(self, open_new: Callable[[], Store]) -> None:
        self._open_new = open_new
        self._fill()

    def refill(self) -> None:
        """Open a new store if the last request changed this one."""
        if state_of(self.store) != HELD:
            self.store.close()
            self._fill()

    def _fill(self) -> None:
        self.store = self._open_new()
        self._client = falcon.testing.TestClient(create_app(self.store))
        for (key, _), held in HISTORY.items():
            ttl_s = 1e6 if held.expires else None
            self.store.commit(Txn([Put(key, held.value, held.content_type, ttl_s)]))
        assert state_of(self.store) == HELD

    def post(self, route: str, body: bytes, media_type: str) -> tuple[int, dict]:
        """Return the status and the decoded answer, a success or a complete problem."""
        headers = {"Content-Type": media_type, "Content-Length": str(len(body))}
        answer = self._client.simulate_post(route, body=body, headers=headers)
        if answer.status_code == 200:
            return 200, (json.loads if media_type == JSON else cbor2.loads)(answer.content)
        assert answer.status_code in REFUSALS | {409}, answer.text
        assert answer.headers["Content-Type"] == "application/problem+json"
        assert answer.json["status"] == answer.status_code
        return answer.status_code, answer.json


def check_txn(api: Api, body: object, media_type: str) -> None:
    api.refill()
    before = api.store.stats().revision
    expected = expected_of(body, api.store)
    status, answer = api.post("/v1/txn", encode(body, media_type), media_type)
    assert status in expected.statuses, answer
    assert state_of(api.store) == expected.state
    after = api.store.stats().revision
    assert (after == before) == (expected.state == HELD)
    if status == 200:
        assert (answer["succeeded"], answer["revision"]) == (expected.succeeded, after)
        ops = body["then" if expected.succeeded else "else"]  # type: ignore[index]
        assert len(answer["results"]) == len(ops)


def check_mget(api: Api, body: object, media_type: str) -> None:
    api.refill()
    head = api.store.stats().revision
    status, answer = api.post("/v1/mget", encode(body, media_type), media_type)
    assert api.store.stats().revision == head
    try:
        if is_odd(body):
            raise Refused
        keys, revision = reference.mget(body, SMALL_LIMITS)
    except Refused:
        assert status in REFUSALS, body
        return
    if revision is not None and revision != head:
        assert (status == 200) == (revision < head)
        return
    assert (status, answer["revision"]) == (200, head)
    assert [item["key"] for item in answer["items"]] == keys
    assert [held_by(item) for item in answer["items"]] == [HELD.get(key) for key in keys]


def held_by(item: dict) -> Held | None:
    """Return the value of a key according to an answer."""
    if not item["found"]:
        return None
    if "text" in item:
        value = item["text"].encode()
    else:
        value = item["value"] if "value" in item else base64.b64decode(item["base64"])
    return Held(value, item["content_type"], item["version"], "expires" in item)


def check_bytes(api: Api, body: bytes, media_type: str) -> None:
    """Check that other decoders read the same from an accepted body."""
    api.refill()
    revisions_before = api.store.scan().keys
    status, answer = api.post("/v1/txn", body, media_type)
    if status != 200:
        assert state_of(api.store) == HELD
        assert api.store.scan().keys == revisions_before
        return
    item = json.loads(body) if media_type == JSON else cbor2.loads(body)
    revisions = {info.key: info.revision for info in revisions_before}
    expected = reference.txn(item, HELD, revisions, HISTORY, SMALL_LIMITS)
    assert (answer["succeeded"], state_of(api.store)) == expected


class Expected(NamedTuple):
    """The expected effect of a body: one of these statuses, and this state."""

    statuses: set[int]
    state: State
    succeeded: bool | None = None


def expected_of(body: object, store: Store) -> Expected:
    revisions = {info.key: info.revision for info in store.scan().keys}
    try:
        if is_odd(body):
            raise Refused
        succeeded, state = reference.txn(body, HELD, revisions, HISTORY, SMALL_LIMITS)
    except NotDone:
        return Expected({409}, HELD)
    except Refused:
        return Expected(REFUSALS, HELD)
    return Expected({200}, state, succeeded)


def state_of(store: Store) -> State:
    entries = [info.entry for info in store.scan(include_values=True).keys]
    return {
        entry.key: Held(
            entry.value, entry.content_type, entry.version, entry.expires_us is not None
        )
        for entry in entries
        if entry is not None
    }
