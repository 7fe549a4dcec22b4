"""Stores in a schema that no other test uses."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

import pytest

from rundlet_server.storage.address import StoreAddress
from rundlet_server.storage.postgres.store import PostgresStore
from rundlet_server.storage.settings import StoreSettings
from tests.support.models.model import Clock
from tests.support.postgres import PostgresServer, postgres_server

OpenStore = Callable[..., PostgresStore]


@pytest.fixture
def server() -> PostgresServer:
    return postgres_server()


@pytest.fixture
def url(server: PostgresServer) -> str:
    """The address of a store that does not exist yet."""
    return server.url()


@pytest.fixture
def open_store(url: str, clock: Clock) -> Iterator[OpenStore]:
    """Opens the store at ``url``, or at another address, as often as wanted."""
    with contextlib.ExitStack() as stack:

        def open_one(
            address: str = "", *, is_tended: bool = False, **settings: object
        ) -> PostgresStore:
            parsed = StoreAddress.parse(address or url)
            given = StoreSettings(**{"clock": clock, **settings})
            return stack.enter_context(
                contextlib.closing(PostgresStore(parsed, given, is_tended=is_tended))
            )

        yield open_one


@pytest.fixture
def store(open_store: OpenStore) -> PostgresStore:
    return open_store()
