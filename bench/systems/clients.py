"""Systems with their own Python clients, for programs that send no HTTP themselves."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Final, NamedTuple

from bench.errors import NotMeasurable
from bench.systems.catalogue import GRANIAN_OPTIONS, serve_rundlet
from bench.systems.external import start_nats, start_redis
from bench.systems.processes import Processes
from rundlet import AsyncClient


class Connected(NamedTuple):
    """A client of a store, for many tasks."""

    get: Callable[[str], Awaitable[bytes | None]]
    put: Callable[[str, bytes], Awaitable[object]]


class Access(NamedTuple):
    """A store and its client.

    Attributes:
        name: as reports show it.
        is_durable: a write is on the disk before it is acknowledged.
        open: starts the store and connects to it.
    """

    name: str
    is_durable: bool
    open: Callable[[Processes], AbstractAsyncContextManager[Connected]]


@contextlib.asynccontextmanager
async def _rundlet(processes: Processes) -> AsyncIterator[Connected]:
    port = serve_rundlet(GRANIAN_OPTIONS, processes, processes.folder / "data")
    async with AsyncClient(f"http://127.0.0.1:{port}") as client:

        async def get(key: str) -> bytes | None:
            value = await client.get(key)
            return value.data if value else None

        yield Connected(get, client.set)


@contextlib.asynccontextmanager
async def _redis(processes: Processes) -> AsyncIterator[Connected]:
    try:
        from redis.asyncio import Redis  # noqa: PLC0415 # perhaps it is not installed
    except ImportError as ex:
        raise NotMeasurable(f"redis-py: {ex}") from ex
    async with Redis(port=start_redis("always", processes)) as client:

        async def put(key: str, value: bytes) -> None:
            await client.set(key, value)

        yield Connected(client.get, put)


@contextlib.asynccontextmanager
async def _nats(processes: Processes) -> AsyncIterator[Connected]:
    try:
        import nats  # noqa: PLC0415 # as above
        from nats.js.api import KeyValueConfig, StorageType  # noqa: PLC0415
    except ImportError as ex:
        raise NotMeasurable(f"nats-py: {ex}") from ex
    connection = await nats.connect(f"nats://127.0.0.1:{start_nats(processes)}")
    config = KeyValueConfig("bench", storage=StorageType.FILE, direct=True)
    bucket = await connection.jetstream().create_key_value(config)

    async def get(key: str) -> bytes | None:
        return (await bucket.get(key)).value

    yield Connected(get, bucket.put)
    await connection.close()


BY_CLIENT: Final = (
    Access("rundlet.AsyncClient, granian", True, _rundlet),
    Access("redis-py", True, _redis),
    Access("nats-py, key-value bucket", False, _nats),
)
