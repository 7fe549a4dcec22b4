"""Test the store for py-key-value-aio, by the tests that it has for every store."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from rundlet import AsyncClient, BadRequest, Client
from tests.adapters.suites import run_suite, suite_of_commit

pytest.importorskip("key_value.aio")

from key_value.aio.errors import DeserializationError

from rundlet.adapters.key_value import RundletStore

# A program of its own, because the package of the tests is called `tests`, as this one.
PROGRAM = """
import os
from itertools import count

import pytest
from tests.stores.base import BaseStoreTests, ContextManagerStoreTestMixin

from rundlet.adapters.key_value import RundletStore

NUMBERS = count()


@pytest.fixture
def anyio_backend():
    return "asyncio"


@pytest.mark.anyio
class TestRundletStore(ContextManagerStoreTestMixin, BaseStoreTests):
    @pytest.fixture
    async def store(self):
        return RundletStore(address=f"{os.environ['ADDRESS']}/{next(NUMBERS)}")

    @pytest.mark.skip(reason="a store in Rundlet keeps what it was given, as one in a file does")
    def test_not_unbounded(self): ...
"""


def test_py_key_value_finds_every_test_passed(address: str, tmp_path: Path):
    suite = suite_of_commit("py-key-value")
    pytest.importorskip("dirty_equals")
    pytest.importorskip("pydantic")

    said = run_suite(PROGRAM, suite, tmp_path, address)

    assert "132 passed, 2 skipped" in said


def using(
    address: str, uses: Callable[[RundletStore], Awaitable[object]], **options: object
) -> object:
    """Return what a program makes of a store in an event loop of its own."""

    async def run() -> object:
        async with RundletStore(address=address, **options) as store:
            return await uses(store)

    return asyncio.run(run())


def test_a_value_is_json_that_other_clients_read(address: str, client: Client, prefix: str):
    using(address, lambda store: store.put("42", {"name": "Ada"}, collection="users", ttl=60))

    value = client.get(f"{prefix}users/42")
    assert json.loads(value.data) == {"name": "Ada"}
    assert value.content_type == "application/json"
    assert value.expires is not None


def test_no_collection_has_keys_of_another_one(address: str):
    names = ["a", "a/b", "a%2Fb", "!a", "a" * 1_500, "a" * 1_501, "ä", ".."]

    async def uses(store: RundletStore) -> list[list[str]]:
        for number, name in enumerate(names):
            await store.put(f"b/c{number}", {}, collection=name)
        assert await store.destroy_collection("a")
        return [await store.keys(collection=name) for name in names]

    assert using(address, uses) == [[], *([f"b/c{number}"] for number in range(1, len(names)))]


def test_to_destroy_a_store_leaves_other_keys(address: str, client: Client, prefix: str):
    client.set(prefix.rstrip("/"), "mine")
    client.set(f"{prefix}users/1", "{}")

    assert using(address, lambda store: store.destroy()) is True

    assert [info.key for info in client.scan(prefix=prefix.rstrip("/"))] == [prefix.rstrip("/")]


@pytest.mark.parametrize("text", ["not JSON", "[1]"])
def test_what_another_client_wrote_may_be_no_value(
    address: str, client: Client, prefix: str, text: str
):
    client.set(f"{prefix}users/1", text)

    with pytest.raises(DeserializationError, match="users/1"):
        using(address, lambda store: store.get("1", collection="users"))


def test_a_client_that_was_given_stays_open(address: str, server_url: str):
    async def run() -> bool:
        async with AsyncClient(server_url) as client:
            async with RundletStore(address=address, client=client, seed={"c": {"k": {}}}) as store:
                await store.get("k", collection="c")
            return await client.exists(f"{address.rpartition('/')[2]}/c/k")

    assert asyncio.run(run()) is True


def test_a_store_without_a_prefix_is_refused():
    with pytest.raises(BadRequest, match="write it as rundlet://HOST:PORT/PREFIX"):
        RundletStore(address="rundlet://127.0.0.1:8000")
