"""Test what commands say about a server that is not Rundlet."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.support.processes.command_line import run

PAGE = ("text/html", b"<p>all is well</p>\n")
ANSWERS = [
    (200, *PAGE),
    (404, *PAGE),
    (502, *PAGE),
    (503, *PAGE),
    (200, "application/json", b'{"status": "up"}'),
    (200, "application/json", b'{"ready": true, "reasons": []}'),
    (200, "application/json", b'["up"]'),
    (200, "application/json", b"{"),
    (200, "", b""),
    (503, "application/json", b'{"reasons": "all"}'),
]


@contextmanager
def other_server(status: int, content_type: str, body: bytes) -> Iterator[str]:
    """Serve one answer at every path."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize("answer", ANSWERS)
def test_doctor_says_that_a_server_is_another_program(answer):
    with other_server(*answer) as url:
        ended = run("doctor", "--json", "--url", url)

    found = json.loads(ended.out)["findings"]
    assert ended.code == 4
    assert [finding["name"] for finding in found if finding["level"] == "error"] == ["service"]
    assert "--url" in found[-1]["advice"]


@pytest.mark.parametrize("text", [b"hello world\n", b"\xff\n"])
def test_metrics_of_another_program_are_refused(text):
    with other_server(200, "text/plain", text) as url:
        ended = run("top", "--every", "100ms", "--count", "1", "--url", url)

    assert ended.code == 4
    assert "is this a Rundlet server?" in ended.err


@pytest.mark.parametrize("command", ["doctor", "top", "stats"])
@pytest.mark.parametrize("url", ["http://127.0.0.1:99999", "http://[::1", "http://h:port"])
def test_addresses_that_are_none_are_refused(command, url):
    ended = run(command, "--url", url)

    assert ended.code in (2, 4)
    assert "internal error" not in ended.err
