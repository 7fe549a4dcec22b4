"""FastAPI over Redis or Valkey: redis-py's asynchronous client with its pool of connections."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import redis.asyncio
from fastapi import FastAPI, Request, Response

from bench.peers.arguments import PeerArguments, parse_arguments
from bench.peers.serving import serve_asgi
from bench.workload import read_text_file

DATABASE_VARIABLE: Final = "BENCH_DATABASE"
_BATCH_ROWS: Final = 1_000


def create_app() -> FastAPI:
    """Return the application over the server whose address the environment names."""
    store = redis.asyncio.from_url(os.environ[DATABASE_VARIABLE])

    @asynccontextmanager
    async def opened(_: FastAPI) -> AsyncIterator[None]:
        async with store:
            yield

    app = FastAPI(lifespan=opened)

    @app.get("/v1/kv/{key}")
    async def get(key: str) -> Response:
        value = await store.get(key)
        if value is None:
            return Response(status_code=404)
        return Response(value, media_type="application/octet-stream")

    @app.put("/v1/kv/{key}")
    async def put(key: str, request: Request) -> Response:
        await store.set(key, await request.body())
        return Response(status_code=204)

    return app


def main(arguments: PeerArguments) -> None:
    """Fill the database, then serve until a signal ends it."""
    os.environ[DATABASE_VARIABLE] = arguments.database
    with redis.Redis.from_url(arguments.database) as store, store.pipeline(False) as pipeline:
        for number, (key, value) in enumerate(read_text_file(arguments.rows), start=1):
            pipeline.set(key, value)
            if number % _BATCH_ROWS == 0:
                pipeline.execute()
        pipeline.execute()
    serve_asgi("fastapi_redis", arguments)


if __name__ == "__main__":
    main(parse_arguments())
