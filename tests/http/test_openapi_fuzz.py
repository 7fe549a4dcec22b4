"""Test the API by schemathesis, with requests that its document allows and forbids."""

from __future__ import annotations

import os

import cbor2
import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis import Case, SerializationContext
from schemathesis.config import SchemathesisConfig

from rundlet_server.functions.app import create_app
from rundlet_server.storage.interface import Put, Txn
from tests.conftest import SMALL_LIMITS
from tests.support.campaign import SEED_VARIABLE
from tests.support.models.model import Clock, ModelStore


def make_app():
    store = ModelStore(Clock(), SMALL_LIMITS)
    store.commit(Txn([Put("a", b"1", "text/plain"), Put("0", b"\xff\x00")]))
    return create_app(store)


SEED = int(os.environ.get(SEED_VARIABLE, "1"))
CONFIG = SchemathesisConfig.from_dict(
    {
        "seed": SEED,
        "checks": {
            # What is too much is 413, which the tool's own list does not know.
            "negative_data_rejection": {"expected-statuses": ["4xx"]},
            # Much is well-formed and still means nothing, such as a cursor beside a revision.
            "positive_data_acceptance": {"enabled": False},
        },
    }
)
schema = schemathesis.openapi.from_wsgi("/openapi.json", make_app(), config=CONFIG)


@schemathesis.serializer("application/cbor")
def to_cbor(_ctx: SerializationContext, value: object) -> bytes:
    return cbor2.dumps(value)


def calls(count: int, *, is_short: bool) -> settings:
    return settings(
        max_examples=count,
        deadline=None,
        database=None,
        derandomize=is_short,
        suppress_health_check=list(HealthCheck),
    )


@schema.parametrize()
@calls(40, is_short=True)
def test_every_answer_is_one_that_the_document_tells(case: Case):
    case.call_and_validate()


@pytest.mark.soak
@schema.parametrize()
@calls(500, is_short=False)
def test_every_answer_is_one_that_the_document_tells_for_long(case: Case):
    case.call_and_validate()
