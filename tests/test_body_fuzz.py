"""Bodies of every kind: refused without a trace, or done exactly as they say.

A second reading of the same contract (``txn_reference``) decides which; where it and the server
differ, one of them is wrong. Bugs planted in a store show that a difference is found.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import cbor2
import falcon.testing
import pytest
from hypothesis import HealthCheck, Phase, given, note, seed, settings
from hypothesis import strategies as st

from functions.app import create_app
from storage import StoreSettings, open_store
from storage.errors import InvalidOperation
from storage.interface import Add, Commit, Op, Put, Store, Txn
from tests import txn_reference as reference
from tests.campaign import Campaign
from tests.conftest import SMALL_LIMITS
from tests.model import Clock, ModelStore
from tests.odd_bodies import CBOR, JSON, encode, is_odd, mgets, right_txns, txns
from tests.storage_samples import folder_in_memory
from tests.txn_reference import Held, History, NotDone, Refused, State
from tests.unsynced_files import UnsyncedFiles

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
BODIES_A_ROUND = 200

both_media_types = pytest.mark.parametrize("media_type", [JSON, CBOR])


class Api:
    """The functions over a store that holds ``HELD``, and nothing else, before each request."""

    def __init__(self, open_new: Callable[[], Store]) -> None:
        self._open_new = open_new
        self._fill()

    def refill(self) -> None:
        """Begin again with a new store, where this one was changed."""
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
        """Status and decoded answer, which is success or a whole problem."""
        headers = {"Content-Type": media_type, "Content-Length": str(len(body))}
        answer = self._client.simulate_post(route, body=body, headers=headers)
        if answer.status_code == 200:
            return 200, (json.loads if media_type == JSON else cbor2.loads)(answer.content)
        assert answer.status_code in REFUSALS | {409}, answer.text
        assert answer.headers["Content-Type"] == "application/problem+json"
        assert answer.json["status"] == answer.status_code
        return answer.status_code, answer.json


@pytest.fixture
def api(clock: Clock) -> Iterator[Api]:
    small = StoreSettings(files=UnsyncedFiles(), sync="never", limits=SMALL_LIMITS, clock=clock)
    with folder_in_memory() as above:

        def open_new() -> Store:
            shutil.rmtree(above / "data", ignore_errors=True)
            return open_store(above / "data", small)

        api = Api(open_new)
        yield api
        api.store.close()


def state_of(store: Store) -> State:
    entries = [info.entry for info in store.scan(include_values=True).keys]
    return {
        entry.key: Held(
            entry.value, entry.content_type, entry.version, entry.expires_us is not None
        )
        for entry in entries
        if entry is not None
    }


def explore(
    campaign: Campaign,
    bodies: st.SearchStrategy[object],
    check: Callable[[object], None],
    phases: Sequence[Phase] = (Phase.generate, Phase.shrink),
) -> None:
    """Let hypothesis choose bodies by the campaign's seed, and make one that fails small."""

    @seed(campaign.seed)
    @settings(
        max_examples=BODIES_A_ROUND,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=phases,
        report_multiple_bugs=False,
    )
    @given(bodies)
    def examine(body: object) -> None:
        campaign.count("bodies")
        note(f"body: {body!r:.2000}")
        check(body)

    examine()


# --- transactions --------------------------------------------------------------------------


@both_media_types
def test_transaction_is_done_as_it_says_or_refused(api: Api, media_type: str, campaign: Campaign):
    for _ in campaign.rounds(2):
        explore(campaign, txns(media_type), lambda body: check_txn(api, body, media_type))


@pytest.mark.soak
@both_media_types
def test_transaction_is_done_as_it_says_or_refused_for_long(
    api: Api, media_type: str, campaign: Campaign
):
    for _ in campaign.rounds():
        explore(campaign, txns(media_type), lambda body: check_txn(api, body, media_type))


class Expected(NamedTuple):
    """What must come of a body: one of these statuses, and this state."""

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


# --- many values at once -------------------------------------------------------------------


@both_media_types
def test_values_are_answered_in_the_order_asked_or_refused(
    api: Api, media_type: str, campaign: Campaign
):
    for _ in campaign.rounds(1):
        explore(campaign, mgets(media_type), lambda body: check_mget(api, body, media_type))


@pytest.mark.soak
@both_media_types
def test_values_are_answered_in_the_order_asked_or_refused_for_long(
    api: Api, media_type: str, campaign: Campaign
):
    for _ in campaign.rounds():
        explore(campaign, mgets(media_type), lambda body: check_mget(api, body, media_type))


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
    assert [item["found"] for item in answer["items"]] == [key in HELD for key in keys]


# --- bytes that are hardly a body any more -------------------------------------------------


@st.composite
def damaged(draw: st.DrawFn) -> tuple[bytes, str]:
    """A body, cut off, or with some bytes changed, gone or added; or any bytes at all."""
    media_type = draw(st.sampled_from([JSON, CBOR]))
    body = bytearray(encode(draw(txns(media_type)), media_type))
    kind = draw(st.sampled_from(["cut off", "changed", "gone", "added", "random"]))
    if kind == "random":
        return draw(st.binary(max_size=60)), media_type
    position = draw(st.integers(0, max(0, len(body) - 1)))
    if kind == "cut off":
        return bytes(body[:position]), media_type
    piece = draw(st.binary(min_size=1, max_size=3))
    end = position if kind == "added" else position + len(piece)
    body[position:end] = b"" if kind == "gone" else piece
    return bytes(body), media_type


def test_damaged_body_is_refused_or_done_whole(api: Api, campaign: Campaign):
    for _ in campaign.rounds(1):
        explore(campaign, damaged(), lambda body: check_bytes(api, *body))


@pytest.mark.soak
def test_damaged_body_is_refused_or_done_whole_for_long(api: Api, campaign: Campaign):
    for _ in campaign.rounds():
        explore(campaign, damaged(), lambda body: check_bytes(api, *body))


def check_bytes(api: Api, body: bytes, media_type: str) -> None:
    """Where it is accepted, other decoders must understand the same by it."""
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


# --- the checks find what they are for -----------------------------------------------------


class HalfDone(ModelStore):
    """Keeps what it did of a transaction before it came to what cannot be done."""

    def commit(self, txn: Txn) -> Commit:
        try:
            return super().commit(txn)
        except InvalidOperation:
            super().commit(Txn([op for op in txn.then if isinstance(op, Put)]))
            raise


class LastForgotten(ModelStore):
    """Leaves out the last of several operations."""

    def commit(self, txn: Txn) -> Commit:
        commit = super().commit(Txn(txn.then[:2], txn.conditions, txn.otherwise))
        return commit._replace(results=commit.results + commit.results[-1:] * (len(txn.then) - 2))


class WithoutEnd(ModelStore):
    """Forgets when values expire."""

    def commit(self, txn: Txn) -> Commit:
        then = [Put(op.key, op.value, op.content_type) if is_new(op) else op for op in txn.then]
        return super().commit(Txn(then, txn.conditions, txn.otherwise))


class Unconditional(ModelStore):
    """Does not look at conditions."""

    def commit(self, txn: Txn) -> Commit:
        return super().commit(Txn(txn.then))


class OffByOne(ModelStore):
    """Cannot add."""

    def commit(self, txn: Txn) -> Commit:
        then = [Add(op.key, op.by + 1) if isinstance(op, Add) else op for op in txn.then]
        return super().commit(Txn(then, txn.conditions, txn.otherwise))


def is_new(op: Op) -> bool:
    return isinstance(op, Put) and op.key not in HELD


@pytest.mark.parametrize(
    "store_class", [HalfDone, LastForgotten, WithoutEnd, Unconditional, OffByOne]
)
def test_store_with_a_bug_is_found_out(store_class: type[ModelStore], clock: Clock):
    assert_found_out(Api(lambda: store_class(clock, SMALL_LIMITS)), right_txns(JSON))


def test_decoder_that_lets_the_later_of_two_members_win_is_found_out(clock: Clock):
    class Lenient(Api):
        def post(self, route: str, body: bytes, media_type: str) -> tuple[int, dict]:
            return super().post(route, as_lenient(body), media_type)

    assert_found_out(Lenient(lambda: ModelStore(clock, SMALL_LIMITS)), txns(JSON))


def assert_found_out(api: Api, bodies: st.SearchStrategy[object]) -> None:
    planted = Campaign("planted")

    def explore_all() -> None:
        for _ in planted.rounds(5):
            explore(planted, bodies, lambda body: check_txn(api, body, JSON), [Phase.generate])

    with pytest.raises(AssertionError):
        explore_all()


def as_lenient(body: bytes) -> bytes:
    """As a decoder would understand it that does not mind what it is sent."""
    try:
        return json.dumps(json.loads(body)).encode()
    except (ValueError, RecursionError):
        return body
