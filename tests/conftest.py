"""Fixtures that several test files share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import falcon.testing
import pytest

from functions.app import create_app
from functions.counting import ProcessCounters
from functions.settings import ServerSettings
from storage import StoreSettings, open_store
from storage.interface import Limits, Store
from tests.model import Clock, ModelStore

SMALL_LIMITS = Limits(
    key_bytes_max=64,
    value_bytes_max=1_000,
    txn_ops_max=10,
    txn_bytes_max=2_000,
    list_keys_max=20,
)


@pytest.fixture
def clock() -> Clock:
    """A clock that tests move by hand; the stores of the fixtures below go by it."""
    return Clock()


@pytest.fixture(params=["model", "log"])
def api_store(request: pytest.FixtureRequest, clock: Clock, tmp_path: Path) -> Iterator[Store]:
    """An empty store with small limits, of each kind."""
    store: Store
    if request.param == "model":
        store = ModelStore(clock, SMALL_LIMITS)
    else:
        settings = StoreSettings(sync="never", limits=SMALL_LIMITS, clock=clock)
        store = open_store(tmp_path / "data", settings)
    yield store
    store.close()


@pytest.fixture
def api_counters() -> ProcessCounters:
    return ProcessCounters()


@pytest.fixture
def api(api_store: Store, api_counters: ProcessCounters) -> falcon.testing.TestClient:
    """The functions over ``api_store``, called without a server."""
    return falcon.testing.TestClient(create_app(api_store, ServerSettings(), api_counters))
