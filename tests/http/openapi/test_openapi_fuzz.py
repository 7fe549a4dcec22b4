"""Test the API by schemathesis, with requests that its document allows and forbids.

Every check of the tool is on: no request that the document allows is refused, none that it forbids
is accepted, and every answer is as described. What a schema cannot say is in
``tests/support/wire/schemathesis_hooks.py``.
"""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
import time
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test
from schemathesis import Case
from schemathesis.config import SchemathesisConfig

from rundlet_server.functions.app import create_app
from rundlet_server.storage.interface import Limits, Put, Txn
from rundlet_server.storage.tokens.file import TokenFile
from tests.support import ROOT
from tests.support.campaign import SEED_VARIABLE
from tests.support.models.model import FEATURES, ModelStore
from tests.support.wire.schemathesis_hooks import KEY, known

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment

LIMITS = Limits(value_bytes_max=1_000, txn_ops_max=10, txn_bytes_max=20_000, list_keys_max=20)
SEED = int(os.environ.get(SEED_VARIABLE, "1"))


class Served:
    """The API over a store that a test may begin anew."""

    def __init__(self) -> None:
        self.begin_anew()

    def begin_anew(self) -> None:
        store = ModelStore(now_us, LIMITS, features=FEATURES | {"backup"})
        store.commit(Txn([Put(KEY, b"1", "text/plain"), Put("0", b"\xff\x00")]))
        # Nothing reads these tokens, so the requests that follow need none.
        folder = tempfile.mkdtemp()
        atexit.register(shutil.rmtree, folder)
        self._app = create_app(store, token_store=TokenFile(Path(folder)))

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        # The tool's client for WSGI leaves the length of an empty body out; real clients do not.
        environ.setdefault("CONTENT_LENGTH", "0")
        return self._app(environ, start_response)


def now_us() -> int:
    return time.time_ns() // 1_000


def make_config() -> SchemathesisConfig:
    """The file that the tool finds by itself, with our seed."""
    written = tomllib.loads((ROOT / "schemathesis.toml").read_text())
    return SchemathesisConfig.from_dict({**written, "seed": SEED}, base_dir=str(ROOT))


served = Served()
schema = schemathesis.openapi.from_wsgi("/openapi.json", served, config=make_config())
OPERATIONS = [found.ok().label for found in schema.get_all_operations()]


class AlongLinks(schema.as_state_machine()):
    """Calls that follow from each other by the links of the document."""

    def setup(self) -> None:
        served.begin_anew()
        known.begin_anew()


def calls(count: int, *, is_short: bool) -> settings:
    return settings(
        max_examples=count,
        deadline=None,
        database=None,
        derandomize=is_short,
        stateful_step_count=6 if is_short else 20,
        suppress_health_check=list(HealthCheck),
    )


def check_operation(request: pytest.FixtureRequest, label: str, wanted: settings) -> None:
    """Make the requests of one operation, and send them.

    At the top of this module, ``schema.parametrize`` would make those of every operation while
    pytest collects the tests, which takes every process seconds. So the tool's collector runs here.
    """

    @schema.include(name=label).parametrize()
    @wanted
    def test_operation(case: Case) -> None:
        case.call_and_validate()

    node = request.node
    collector = node.ihook.pytest_pycollect_makeitem(
        collector=node.parent, name=node.name, obj=test_operation
    )
    [item] = collector.collect()
    node.ihook.pytest_pyfunc_call(pyfuncitem=item)


@pytest.mark.parametrize("label", OPERATIONS)
def test_every_answer_is_one_that_the_document_tells(request: pytest.FixtureRequest, label: str):
    check_operation(request, label, calls(30, is_short=True))


def test_every_answer_is_one_that_the_document_tells_along_its_links():
    run_state_machine_as_test(AlongLinks, settings=calls(30, is_short=True))


@pytest.mark.soak
@pytest.mark.parametrize("label", OPERATIONS)
def test_every_answer_is_one_that_the_document_tells_for_long(
    request: pytest.FixtureRequest, label: str
):
    check_operation(request, label, calls(500, is_short=False))


@pytest.mark.soak
def test_every_answer_is_one_that_the_document_tells_along_its_links_for_long():
    run_state_machine_as_test(AlongLinks, settings=calls(500, is_short=False))
