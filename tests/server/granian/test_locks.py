"""Test that no request holds a lock while it waits: that could stop the event loop for ever."""

from __future__ import annotations

import contextlib
import json
import re
import select
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from rundlet_server.functions.route_table import ROUTES
from tests.support import PATIENCE_S
from tests.support.campaign import Campaign
from tests.support.processes.killed_servers import port_of
from tests.support.processes.servers import RundletServer, ServerProcess, wait_for
from tests.support.wire.prometheus_text import parse
from tests.support.wire.raw_http import talk
from tests.support.wire.twin_requests import TwinRequests
from tests.support.wire.twins import encoded

pytest.importorskip("granian")
from tests.support.watched_locks import HELD, WAITED, WAYS

LARGE = bytes(12_000_000)
JSON = {"Content-Type": "application/json"}
GET = "GET {} HTTP/1.1\r\nHost: h\r\n{}\r\n"
PLANTED = """
import asyncio, sys, threading
from rundlet_server.server.granian.waiting import LoopWaits, in_greenlet
from tests.support.watched_locks import watch

watch()

class Resource:
    def __init__(self, waits):
        self.lock = getattr(threading, sys.argv[1])()
        self.waits = waits

    def answer(self):
        with self.lock:
            self.waits.sleep(0)

async def serve():
    waits = LoopWaits(1)
    waits.begin(None)
    await in_greenlet(Resource(waits).answer)
    waits.end()

asyncio.run(serve())
"""


@pytest.mark.parametrize("kind", ["Lock", "RLock", "Condition"])
def test_lock_that_is_held_during_a_wait_is_named_with_both_places(kind: str):
    done = subprocess.run(
        [sys.executable, "-c", PLANTED, kind], capture_output=True, text=True, check=True
    )

    assert f"{HELD}taken in " in done.stderr
    assert "<string>:14 (answer), waiting in " in done.stderr
    assert "<string>:15 (answer)\n" in done.stderr


class WatchedServer(RundletServer):
    """``rundlet serve`` with one Granian worker whose locks are watched."""

    def __init__(self, folder: Path) -> None:
        command = [sys.executable, "-m", "tests.support.watched_locks", "serve", "--port", "0"]
        options = ["--server", "granian", "--data", str(folder / "data"), "--max-exports", "1"]
        sizes = ["--max-sending-bytes", "1MiB", "--cors-origin", "https://app.example"]
        log = folder / "stderr"
        ServerProcess.__init__(self, [*command, *options, *sizes], stderr_path=log)

    def ask(self, method: str, target: str, body: object = None) -> httpx.Response:
        content = json.dumps(body).encode() if isinstance(body, dict) else body
        headers = JSON if isinstance(body, dict) else {}
        return self.client.request(method, target, content=content, headers=headers)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WatchedServer]:
    with WatchedServer(tmp_path_factory.mktemp("watched")) as server:
        secret = server.ask("POST", "/v1/tokens", {"name": "all", "scope": "admin"}).json()["token"]
        server.client.headers["Authorization"] = f"Bearer {secret}"
        for number in range(5):
            server.ask("PUT", f"/v1/kv/large{number}", LARGE).raise_for_status()
        server.ask("PUT", "/v1/kv/a", b"1").raise_for_status()
        yield server


def secret_of(server: WatchedServer) -> str:
    return server.client.headers["Authorization"].removeprefix("Bearer ")


def ask_every_route(server: WatchedServer) -> None:
    """Ask each method of each route for something that it can do."""
    ask = server.ask
    backup = ask("POST", "/v1/backup").json()
    of_backup = f"/v1/backup/{backup['id']}"
    file = f"{of_backup}/{backup['files'][0]['name']}"
    (asset, *_) = re.findall(r'"(?:/ui/)?(static/[^"]+)"', ask("GET", "/ui/").text)
    fixed = ("/", "/v1", "/v1/stats", "/v1/tokens", "/metrics", "/livez", "/readyz", "/ui")
    reads = (*fixed, "/openapi.json", "/ui/", f"/ui/{asset}", "/v1/kv/a", "/v1/kv64/YQ")
    for method in ("GET", "HEAD"):
        for target in (*reads, "/v1/keys?include=value", of_backup, file):
            ask(method, target)
    for target in ("/v1/history/a", "/v1/history64/YQ", "/v1/kv/a?rev=9", "/v1/kv/large0"):
        ask("GET", target)
    for target in ("diff?from=1", "changes?since=1", "export", "admin/retention"):
        ask("GET", f"/v1/{target}")
    put = {"op": "put", "key": "b", "text": "x"}
    ask("PUT", "/v1/kv/a", b"2")
    ask("PUT", "/v1/kv64/YQ?ttl=1000", b"3")
    ask("PUT", "/v1/admin/retention", {"keep_versions": 30, "keep_for_s": 60})
    ask("POST", "/v1/txn", {"if": [{"key": "a", "exists": True}], "then": [put]})
    ask("POST", "/v1/mget", {"keys": ["a", "large0"]})
    ask("POST", "/v1/import?format=jsonl", {"key": "c", "text": "x"})
    ask("POST", "/v1/rollback", {"prefix": "c", "to": 1})
    ask("POST", "/v1/admin/compact")
    ask("POST", "/v1/tokens", {"name": "other"})
    ask("DELETE", "/v1/tokens/other")
    for target in ("kv/a", "kv64/Yg", "history/a", "history64/YQ", "keys?prefix=c&expect=0"):
        ask("DELETE", f"/v1/{target}")
    ask("DELETE", of_backup)


def answered(server: WatchedServer) -> set[tuple[str, str]]:
    """Return the routes and methods of requests that have succeeded."""
    samples = parse(server.ask("GET", "/metrics").text)["rundlet_http_requests_total"].samples
    found = [dict(labels) for (_, labels), number in samples.items() if number]
    return {(x["route"], x["method"]) for x in found if x["status"] in ("2xx", "3xx")}


@contextlib.contextmanager
def waiting(server: WatchedServer, *targets: str, accept: str) -> Iterator[list[socket.socket]]:
    """Connections on which requests have been sent; their answers are left to read."""
    header = f"Authorization: Bearer {secret_of(server)}\r\nAccept: {accept}\r\n"
    with contextlib.ExitStack() as stack:
        opened = []
        for target in targets:
            address = ("127.0.0.1", port_of(server))
            connection = stack.enter_context(socket.create_connection(address, PATIENCE_S))
            connection.sendall(GET.format(target, header).encode())
            opened.append(connection)
        yield opened


def wait_for_commits(server: WatchedServer) -> None:
    """Let feeds of both forms, long polls and a conditional GET wait for a commit."""
    feeds = ["/v1/changes?include=value", "/v1/changes?prefix=w"]
    polls = ["/v1/changes?wait=50", "/v1/changes?wait=50&include=value"]
    with (
        waiting(server, *feeds, *feeds, accept="text/event-stream") as of_events,
        waiting(server, *feeds, accept="application/x-ndjson") as of_lines,
        waiting(server, *polls, accept="application/json") as of_pages,
    ):
        wait_for(lambda: "\nrundlet_feeds_open 8\n" in server.ask("GET", "/metrics").text)
        for number in range(3):
            server.ask("PUT", f"/v1/kv/watched{number}", b"x" * 1_000)
        for connection in (*of_events, *of_lines):
            received = b""
            while b"watched2" not in received:  # behind 60 MB of values
                received = received[-len(b"watched2") :] + connection.recv(65_536)
        assert all(connection.recv(12) == b"HTTP/1.1 200" for connection in of_pages)


def wait_for_places(server: WatchedServer) -> None:
    """Let an export wait for the place of another one, and a large value for memory."""
    with waiting(server, "/v1/export", "/v1/export", accept="*/*") as exports:
        assert select.select(exports, [], [], PATIENCE_S)[0]
        with waiting(server, *["/v1/kv/large0"] * 3, accept="*/*") as values:
            statuses = {connection.recv(12) for connection in values}
    assert statuses == {b"HTTP/1.1 200", b"HTTP/1.1 503"}


def drive(server: WatchedServer, campaign: Campaign) -> None:
    """Send requests of every kind until greenlets have waited in every way."""
    ask_every_route(server)
    assert answered(server) >= {(r.template, method) for r in ROUTES.values() for method in r.rules}
    wait_for_commits(server)
    wait_for_places(server)
    for chance in campaign.rounds(1):
        requests = TwinRequests(chance, [secret_of(server)])
        for _ in range(200):
            talk(port_of(server), encoded(requests.any()), is_whole=True)
    wait_for(lambda: all(WAITED + way in server.stderr for way in WAYS))


def test_no_request_holds_a_lock_while_it_waits(server: WatchedServer, campaign: Campaign):
    try:
        drive(server, campaign)
    finally:  # a lock may have stopped the loop, so that requests failed
        assert {line for line in server.stderr.splitlines() if line.startswith(HELD)} == set()
