"""A browser for all tests of a run, and servers of both kinds."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import quote

import pytest

from rundlet import Client
from tests.support.browser.chromium import CHROMIUM, Chromium, Page
from tests.support.processes.servers import RundletServer
from tests.support.programs import missing

SERVERS = ("waitress", "granian")


@pytest.fixture(scope="session")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    if CHROMIUM is None:
        missing("there is no Chromium on this machine")
    with Chromium(tmp_path_factory.mktemp("chromium")) as browser:
        yield browser


@pytest.fixture(scope="session", params=SERVERS)
def any_server(request, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RundletServer]:
    """A server of each kind, for what could depend on it."""
    yield from serving(tmp_path_factory, "--server", request.param)


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RundletServer]:
    """One server for all tests; each uses keys of its own."""
    yield from serving(tmp_path_factory)


def serving(factory: pytest.TempPathFactory, *options: str) -> Iterator[RundletServer]:
    folder = factory.mktemp("server")
    arguments = ("--data", folder / "data", "--sync", "never", *options)
    with RundletServer(*arguments, stderr_path=folder / "stderr") as process:
        yield process


@pytest.fixture
def client(server: RundletServer) -> Iterator[Client]:
    with Client(server.url) as opened:
        yield opened


@pytest.fixture
def page(chromium: Chromium) -> Iterator[Page]:
    """A tab in which nothing may fail that the test does not expect."""
    opened = chromium.new_page()
    yield opened
    opened.close()

    assert opened.problems == []


def address(server: RundletServer, view: str = "keys", **options: object) -> str:
    """The URL of a view of the dashboard."""
    query = "&".join(f"{name}={quote(str(text), safe='')}" for name, text in options.items())
    return f"{server.url}/ui/#/{view}" + (f"?{query}" if query else "")
