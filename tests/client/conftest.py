"""Run the tests of ``Client`` with ``AsyncClient``, too."""

from __future__ import annotations

import pytest

from rundlet import Client
from tests.support.wire.blocking_client import BlockingClient

OF_BOTH = {"test_client", "test_past", "test_retries", "test_transfers", "test_bulk", "test_files"}
"""The modules whose tests both clients pass."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run each test of these modules twice."""
    if metafunc.module.__name__.rpartition(".")[2] in OF_BOTH:
        metafunc.parametrize("client_class", [Client, BlockingClient], indirect=True)


@pytest.fixture(autouse=True)
def client_class(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let ``Client`` be one of both in the module of the test."""
    if hasattr(request, "param"):
        monkeypatch.setattr(request.module, "Client", request.param)
