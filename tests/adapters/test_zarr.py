"""Test the store of arrays, by zarr's tests for every store and by its own."""

from __future__ import annotations

import asyncio

import pytest

from rundlet import Client

zarr = pytest.importorskip("zarr")

from zarr.core.buffer import Buffer, cpu  # noqa: E402
from zarr.testing.store import StoreTests  # noqa: E402 - it may not be there

from rundlet.adapters.zarr import RundletStore  # noqa: E402

pytestmark = [pytest.mark.anyio]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class TestRundletStore(StoreTests[RundletStore, cpu.Buffer]):
    """All tests that zarr has for every store."""

    store_cls = RundletStore
    buffer_cls = cpu.Buffer
    client: Client

    @pytest.fixture
    def store_kwargs(self, client: Client, prefix: str) -> dict[str, object]:
        type(self).client = client
        host = client.url.removeprefix("http://")
        return {"address": f"rundlet://{host}/{prefix}"}

    @pytest.fixture
    def store(self, open_kwargs: dict[str, object]) -> RundletStore:  # some tests are not async
        return asyncio.run(self.store_cls.open(**open_kwargs))

    @pytest.fixture
    def store_not_open(self, store_kwargs: dict[str, object]) -> RundletStore:
        return self.store_cls(**store_kwargs)

    async def set(self, store: RundletStore, key: str, value: Buffer) -> None:
        self.client.set(store._prefix + key, value.to_bytes())

    async def get(self, store: RundletStore, key: str) -> Buffer:
        data = self.client.get_bytes(store._prefix + key)
        assert data is not None
        return self.buffer_cls.from_bytes(data)

    def test_store_repr(self, store: RundletStore) -> None:
        assert repr(store) == f"RundletStore('{store}')"

    def test_store_supports_writes(self, store: RundletStore) -> None:
        assert store.supports_writes

    def test_store_supports_listing(self, store: RundletStore) -> None:
        assert store.supports_listing
