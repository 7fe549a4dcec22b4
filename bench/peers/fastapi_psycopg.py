"""FastAPI over PostgreSQL: psycopg's pool, one statement for each request.

Its handlers are plain functions: with psycopg's asynchronous pool a read took 1.5 times as much
processor time.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import psycopg
from fastapi import FastAPI, Request, Response
from fastapi.concurrency import run_in_threadpool
from psycopg_pool import ConnectionPool

from bench.peers.arguments import PeerArguments, parse_arguments
from bench.peers.serving import serve_asgi
from bench.workload import read_text_file

DATABASE_VARIABLE: Final = "BENCH_DATABASE"
TABLE_VARIABLE: Final = "BENCH_TABLE"
CONNECTIONS_MAX: Final = 10  # as many as a process of Rundlet has


def create_app() -> FastAPI:
    """Return the application over the table that the environment names."""
    pool = ConnectionPool(
        os.environ[DATABASE_VARIABLE],
        kwargs={"autocommit": True},
        min_size=CONNECTIONS_MAX,
        max_size=CONNECTIONS_MAX,
        open=False,
    )
    table = os.environ[TABLE_VARIABLE].encode()
    select = b"SELECT value FROM %b WHERE key = %%s" % table
    insert = (
        b"INSERT INTO %b VALUES (%%s, %%b) ON CONFLICT (key) DO UPDATE SET value = excluded.value"
        % table
    )

    @asynccontextmanager
    async def opened(_: FastAPI) -> AsyncIterator[None]:
        with pool:
            yield

    app = FastAPI(lifespan=opened)

    @app.get("/v1/kv/{key}")
    def get(key: str) -> Response:
        with pool.connection() as connection:
            row = connection.execute(select, (key,), binary=True).fetchone()
        if row is None:
            return Response(status_code=404)
        return Response(row[0], media_type="application/octet-stream")

    @app.put("/v1/kv/{key}")
    async def put(key: str, request: Request) -> Response:
        await run_in_threadpool(write, key, await request.body())
        return Response(status_code=204)

    def write(key: str, value: bytes) -> None:
        with pool.connection() as connection:
            connection.execute(insert, (key, value))

    return app


def make_table(database: str, table: str, rows: Path) -> None:
    """Create a table and fill it with the rows."""
    name = table.encode()
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(b"CREATE TABLE %b (key text PRIMARY KEY, value bytea NOT NULL)" % name)
        with connection.cursor().copy(b"COPY %b FROM STDIN" % name) as copy:
            for row in read_text_file(rows):
                copy.write_row(row)
        connection.execute(b"ANALYZE %b" % name)


def main(arguments: PeerArguments) -> None:
    """Serve until a signal ends it."""
    table = f"peer_{arguments.port}"
    make_table(arguments.database, table, arguments.rows)
    os.environ[DATABASE_VARIABLE] = arguments.database
    os.environ[TABLE_VARIABLE] = table
    serve_asgi("fastapi_psycopg", arguments)


if __name__ == "__main__":
    main(parse_arguments())
