"""Define the server that all adapters share, and where each test keeps its keys."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count

import pytest

from rundlet import Client
from tests.support.processes.servers import RundletServer

_NUMBERS = count()


def pytest_configure(config: pytest.Config) -> None:
    """Know the mark of dogpile.cache's tests."""
    config.addinivalue_line("markers", "time_intensive: a slow one of dogpile.cache's tests")


@pytest.fixture(scope="session")
def server_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server with a real clock, and threads for many that wait."""
    log = tmp_path_factory.mktemp("server") / "log"
    with RundletServer("--in-memory", "--server", "waitress", stderr_path=log) as server:
        yield server.url


@pytest.fixture
def client(server_url: str) -> Iterator[Client]:
    with Client(server_url) as client:
        yield client


@pytest.fixture
def prefix() -> str:
    """A prefix that no other test has."""
    return f"test{next(_NUMBERS)}/"


@pytest.fixture
def address(server_url: str, prefix: str) -> str:
    """The address of a prefix that no other test has."""
    return f"rundlet://{server_url.removeprefix('http://')}/{prefix.rstrip('/')}"
