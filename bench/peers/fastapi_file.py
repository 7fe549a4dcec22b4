"""FastAPI over a text file, read into a dict at the start; writes do not reach the file."""

from __future__ import annotations

import uvicorn
from fastapi import FastAPI, Request, Response

from bench.peers.arguments import PeerArguments, parse_arguments
from bench.workload import read_text_file


def create_app(entries: dict[str, bytes]) -> FastAPI:
    """Return the application over a dict."""
    app = FastAPI()

    @app.get("/v1/kv/{key}")
    async def get(key: str) -> Response:
        return Response(entries[key], media_type="application/octet-stream")

    @app.put("/v1/kv/{key}")
    async def put(key: str, request: Request) -> Response:
        entries[key] = await request.body()
        return Response(status_code=204)

    return app


def main(arguments: PeerArguments) -> None:
    """Serve until a signal ends it."""
    app = create_app(dict(read_text_file(arguments.rows)))
    uvicorn.run(app, port=arguments.port, log_level="error", access_log=False)


if __name__ == "__main__":
    main(parse_arguments())
