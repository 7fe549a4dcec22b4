"""FastAPI over NATS: a key-value bucket of JetStream, stored in files, by nats-py."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import islice
from pathlib import Path
from typing import Final

import nats
from fastapi import FastAPI, Request, Response
from nats.js.api import KeyValueConfig, StorageType
from nats.js.errors import KeyNotFoundError
from nats.js.kv import KeyValue

from bench.peers.arguments import PeerArguments, parse_arguments
from bench.peers.serving import serve_asgi
from bench.workload import read_text_file

DATABASE_VARIABLE: Final = "BENCH_DATABASE"
_BUCKET: Final = "bench"
_BATCH_ROWS: Final = 1_000


def create_app() -> FastAPI:
    """Return the application over the server whose address the environment names."""
    buckets: list[KeyValue] = []

    @asynccontextmanager
    async def opened(_: FastAPI) -> AsyncIterator[None]:
        connection = await nats.connect(os.environ[DATABASE_VARIABLE])
        buckets.append(await connection.jetstream().key_value(_BUCKET))
        yield
        await connection.close()

    app = FastAPI(lifespan=opened)

    @app.get("/v1/kv/{key}")
    async def get(key: str) -> Response:
        try:
            entry = await buckets[0].get(key)
        except KeyNotFoundError:
            return Response(status_code=404)
        return Response(entry.value, media_type="application/octet-stream")

    @app.put("/v1/kv/{key}")
    async def put(key: str, request: Request) -> Response:
        await buckets[0].put(key, await request.body())
        return Response(status_code=204)

    return app


async def fill(address: str, path: Path) -> None:
    """Create the bucket and fill it with the rows."""
    connection = await nats.connect(address)
    config = KeyValueConfig(_BUCKET, storage=StorageType.FILE, direct=True)
    bucket = await connection.jetstream().create_key_value(config)
    rows = read_text_file(path)
    while batch := list(islice(rows, _BATCH_ROWS)):
        await asyncio.gather(*(bucket.put(key, value) for key, value in batch))
    await connection.close()


def main(arguments: PeerArguments) -> None:
    """Fill the bucket, then serve until a signal ends it."""
    os.environ[DATABASE_VARIABLE] = arguments.database
    asyncio.run(fill(arguments.database, arguments.rows))
    serve_asgi("fastapi_nats", arguments)


if __name__ == "__main__":
    main(parse_arguments())
