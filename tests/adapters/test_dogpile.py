"""Test the backend and its mutex, by dogpile.cache's tests for every backend."""

from __future__ import annotations

import json

import pytest

pytest.importorskip("dogpile.cache")

from dogpile.cache import register_backend
from dogpile.testing import fixtures

from rundlet.adapters.dogpile import RundletBackend

register_backend("rundlet.tested", "rundlet.adapters.dogpile", "RundletBackend")


class OnTheServer:
    """Where the tests of dogpile.cache keep their values: each module has a server."""

    backend = "rundlet.tested"

    @pytest.fixture(autouse=True)
    def configured(self, request: pytest.FixtureRequest, address: str) -> None:
        request.cls.config_args["arguments"]["address"] = address


class TestBackend(OnTheServer, fixtures._GenericBackendTestSuite):
    """All tests that dogpile.cache has for every backend."""

    config_args = {"arguments": {"address": "rundlet://127.0.0.1:1/later"}}  # noqa: RUF012


class TestMutex(OnTheServer, fixtures._GenericMutexTestSuite):
    """All that it has for a mutex of many processes."""

    config_args = {"arguments": {"address": "rundlet://127.0.0.1:1/later"}}  # noqa: RUF012


class TestSerializers(
    OnTheServer, fixtures._GenericSerializerTestSuite, fixtures._GenericBackendFixture
):
    """All that it has for serializers other than pickle."""

    config_args = {"arguments": {"address": "rundlet://127.0.0.1:1/later"}}  # noqa: RUF012
    region_args = {  # noqa: RUF012 - a class of dogpile.cache says so
        "serializer": lambda value: json.dumps(value).encode(),
        "deserializer": json.loads,
    }


def test_processes_need_not_wait_for_each_other(address: str):
    backend = RundletBackend({"address": address, "distributed_lock": False})

    assert backend.get_mutex("k") is None
