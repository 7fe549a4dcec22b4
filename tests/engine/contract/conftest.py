"""Stores of every backend for the tests of the contract."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from rundlet_server.storage.interface import Store
from tests.support.backends import BACKENDS, FILLED, Backend, OpenStore
from tests.support.models.model import Clock

VALUES = {
    "b": b"bee",
    "a/2": b"",
    "a/1": b"\x01\xc3\xa9",
    "z\U00010000": b"last",
    "z\uffff": b"last but one",
    "a": b"ant",
}


@pytest.fixture(params=BACKENDS, ids=lambda backend: backend.name)
def backend(request: pytest.FixtureRequest) -> Backend:
    """A kind of store that takes writes."""
    found: Backend = request.param
    return found


@pytest.fixture
def open_backend(backend: Backend, clock: Clock, tmp_path: Path) -> OpenStore:
    """Opens a store of one kind; more than once gives the same store if it is kept."""

    def open_one(*, read_only: bool = False) -> Store:
        return backend.open(tmp_path, clock, read_only)

    return open_one


@pytest.fixture
def store(open_backend: OpenStore) -> Iterator[Store]:
    """An empty store that takes writes."""
    opened = open_backend()
    yield opened
    opened.close()


@pytest.fixture(params=FILLED, ids=lambda filled: filled.name)
def filled(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """A store with ``VALUES``, also of a kind that takes no writes."""
    opened = request.param.open(tmp_path, VALUES)
    yield opened
    opened.close()
