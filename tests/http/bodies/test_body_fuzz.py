"""Test that a random body is either rejected without effect or does exactly what it says.

A second implementation of the same contract (``txn_reference``) decides which; where it and the
server differ, one of them is wrong. Bugs planted in a store show that the test finds a difference.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Sequence

import pytest
from hypothesis import HealthCheck, Phase, given, note, seed, settings
from hypothesis import strategies as st

from rundlet_server.storage.errors import InvalidOperation
from rundlet_server.storage.interface import Add, Op, Put, Store, Txn
from rundlet_server.storage.opening import open_log_store
from rundlet_server.storage.outcomes.results import Commit
from rundlet_server.storage.settings import StoreSettings
from tests.conftest import SMALL_LIMITS
from tests.support.campaign import Campaign
from tests.support.disks.sample_stores import folder_in_memory
from tests.support.disks.unsynced_files import UnsyncedFiles
from tests.support.models.bodies import HELD, Api, check_bytes, check_mget, check_txn
from tests.support.models.model import Clock, ModelStore
from tests.support.wire.odd_bodies import CBOR, JSON, encode, mgets, right_txns, txns

BODIES_A_ROUND = 200

both_media_types = pytest.mark.parametrize("media_type", [JSON, CBOR])


@pytest.fixture
def api(clock: Clock) -> Iterator[Api]:
    small = StoreSettings(files=UnsyncedFiles(), sync="never", limits=SMALL_LIMITS, clock=clock)
    with folder_in_memory() as above:

        def open_new() -> Store:
            shutil.rmtree(above / "data", ignore_errors=True)
            return open_log_store(above / "data", small)

        api = Api(open_new)
        yield api
        api.store.close()


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
    for _ in campaign.rounds(1):
        explore(campaign, txns(media_type), lambda body: check_txn(api, body, media_type))


@pytest.mark.soak
@both_media_types
def test_transaction_is_done_as_it_says_or_refused_for_long(
    api: Api, media_type: str, campaign: Campaign
):
    for _ in campaign.rounds():
        explore(campaign, txns(media_type), lambda body: check_txn(api, body, media_type))


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
