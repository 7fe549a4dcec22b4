"""FastAPI over SQLite: a write-ahead log, synchronous=FULL, one connection for each thread."""

from __future__ import annotations

import os
import sqlite3
import threading
from pathlib import Path
from typing import Final

from fastapi import FastAPI, Request, Response
from fastapi.concurrency import run_in_threadpool

from bench.peers.arguments import PeerArguments, parse_arguments
from bench.peers.serving import serve_asgi
from bench.workload import read_text_file

DATABASE_VARIABLE: Final = "BENCH_DATABASE"
_BUSY_S: Final = 30.0


class Connections(threading.local):
    """A separate connection for each thread."""

    def __init__(self, path: str) -> None:
        self.connection = sqlite3.connect(path, isolation_level=None, timeout=_BUSY_S)
        self.connection.execute("PRAGMA journal_mode=WAL")
        self.connection.execute("PRAGMA synchronous=FULL")  # an acknowledged write is durable


def create_app() -> FastAPI:
    """Return the application over the database that the environment names."""
    app = FastAPI()
    threads = Connections(os.environ[DATABASE_VARIABLE])

    @app.get("/v1/kv/{key}")
    def get(key: str) -> Response:
        row = threads.connection.execute("SELECT value FROM kv WHERE key=?", (key,)).fetchone()
        if row is None:
            return Response(status_code=404)
        return Response(row[0], media_type="application/octet-stream")

    @app.put("/v1/kv/{key}")
    async def put(key: str, request: Request) -> Response:
        await run_in_threadpool(write, key, await request.body())
        return Response(status_code=204)

    def write(key: str, value: bytes) -> None:
        threads.connection.execute("INSERT OR REPLACE INTO kv VALUES (?, ?)", (key, value))

    return app


def make_database(path: Path, rows: Path) -> None:
    """Create the table and fill it with the rows."""
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("CREATE TABLE kv (key TEXT PRIMARY KEY, value BLOB) WITHOUT ROWID")
        connection.executemany("INSERT OR REPLACE INTO kv VALUES (?, ?)", read_text_file(rows))
    connection.close()


def main(arguments: PeerArguments) -> None:
    """Serve until a signal ends it."""
    path = arguments.folder / "kv.sqlite"
    make_database(path, arguments.rows)
    os.environ[DATABASE_VARIABLE] = str(path)
    serve_asgi("fastapi_sqlite", arguments)


if __name__ == "__main__":
    main(parse_arguments())
