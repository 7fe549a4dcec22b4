"""Define the server that all adapters of a module share, and where each test keeps its keys."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count

import pytest

from rundlet import Client
from tests.support.models.model import ModelStore
from tests.support.wire.served_model import served

_NUMBERS = count()


@pytest.fixture(scope="module")
def server_url() -> Iterator[str]:
    with served(ModelStore()) as url:
        yield url


@pytest.fixture
def client(server_url: str) -> Iterator[Client]:
    with Client(server_url) as client:
        yield client


@pytest.fixture
def prefix() -> str:
    """A prefix that no other test has."""
    return f"test{next(_NUMBERS)}/"
