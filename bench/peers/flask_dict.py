"""Flask over a dict, served by waitress."""

from __future__ import annotations

import flask
import waitress

from bench.peers.arguments import PeerArguments, parse_arguments
from bench.workload import read_text_file


def create_app(entries: dict[str, bytes]) -> flask.Flask:
    """Return the application over a dict."""
    app = flask.Flask(__name__)

    @app.get("/v1/kv/<key>")
    def get(key: str) -> flask.Response:
        return flask.Response(entries[key], content_type="application/octet-stream")

    @app.put("/v1/kv/<key>")
    def put(key: str) -> tuple[str, int]:
        entries[key] = flask.request.get_data()
        return "", 204

    return app


def main(arguments: PeerArguments) -> None:
    """Serve until a signal ends it."""
    waitress.serve(
        create_app(dict(read_text_file(arguments.rows))),
        host="127.0.0.1",
        port=arguments.port,
        threads=arguments.threads,
    )


if __name__ == "__main__":
    main(parse_arguments())
