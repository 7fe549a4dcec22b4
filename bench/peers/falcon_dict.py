"""The upper bound: a Falcon function over a dict, with the headers that Rundlet sends."""

# Falcon's responders need no docstrings.
# ruff: noqa: D102

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import falcon
import waitress
from granian import Granian
from granian.constants import Interfaces
from granian.log import LogLevels

from bench.peers.arguments import PeerArguments, parse_arguments
from bench.workload import read_text_file

ROWS_VARIABLE: Final = "BENCH_ROWS"
_FIXED_HEADERS: Final = (
    ("accept-ranges", "bytes"),
    ("cache-control", "no-cache"),
    ("x-content-type-options", "nosniff"),
    ("content-security-policy", "sandbox"),
)
_MODIFIED: Final = "Mon, 02 Jan 2023 03:04:05 GMT"


class DictResource:
    """Values in a dict."""

    def __init__(self, rows: Path) -> None:
        self._entries = {key: (value, "1") for key, value in read_text_file(rows)}

    def on_get(self, _req: falcon.Request, resp: falcon.Response, key: str) -> None:
        value, revision = self._entries[key]
        resp.data = value
        resp.set_headers(
            (
                ("etag", f'"{revision}"'),
                ("kv-revision", revision),
                ("kv-version", "1"),
                ("last-modified", _MODIFIED),
                *_FIXED_HEADERS,
                ("content-type", "application/octet-stream"),
            )
        )

    def on_put(self, req: falcon.Request, resp: falcon.Response, key: str) -> None:
        self._entries[key] = (req.bounded_stream.read(), "2")
        resp.status = 204


def get_app() -> falcon.App[falcon.Request, falcon.Response]:
    """Return the application over the rows that the environment names."""
    app = falcon.App()
    app.add_route("/v1/kv/{key}", DictResource(Path(os.environ[ROWS_VARIABLE])))
    return app


def main(arguments: PeerArguments) -> None:
    """Serve until a signal ends it."""
    os.environ[ROWS_VARIABLE] = str(arguments.rows)
    if arguments.server == "waitress":
        waitress.serve(
            get_app(), host="127.0.0.1", port=arguments.port, threads=arguments.threads, ident=None
        )
    else:
        Granian(
            "bench.peers.falcon_dict:get_app",
            factory=True,
            port=arguments.port,
            interface=Interfaces.WSGI,
            workers=arguments.workers,
            blocking_threads=arguments.threads,
            backlog=1_024,
            log_level=LogLevels.error,
        ).serve()


if __name__ == "__main__":
    main(parse_arguments())
