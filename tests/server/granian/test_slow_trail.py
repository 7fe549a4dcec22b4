"""Test that an audit trail which takes no line holds up recorded requests, and no others."""

from __future__ import annotations

import fcntl
import functools
import os
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from rundlet_server.storage.tokens.file import TokenFile
from tests.support import PATIENCE_S
from tests.support.processes.servers import RundletServer, wait_for

pytest.importorskip("granian")
pytestmark = pytest.mark.skipif(not hasattr(fcntl, "F_SETPIPE_SZ"), reason="pipes need a size")

PIPE_BYTES = 4_096
JSON = {"Content-Type": "application/json"}


class Trail:
    """A named pipe, which is full until ``read_on`` is called."""

    def __init__(self, path: Path) -> None:
        os.mkfifo(path)
        self._pipe = os.open(path, os.O_RDWR)
        fcntl.fcntl(self._pipe, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
        os.write(self._pipe, bytes(PIPE_BYTES))

    def read_on(self) -> None:
        """Read all lines from now on."""
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        while os.read(self._pipe, PIPE_BYTES):
            pass


class Audited(RundletServer):
    """A server with a worker, whose trail is full until ``trail.read_on`` is called."""

    def __init__(self, folder: Path) -> None:
        (folder / "data").mkdir()
        _, secret = TokenFile(folder / "data").add("boss", "admin")
        self.token = {"Authorization": f"Bearer {secret}"}
        self.trail = Trail(folder / "audit")
        super().__init__(
            *("--data", folder / "data", "--audit", folder / "audit"),
            *("--server", "granian", "--workers", "1"),
            stderr_path=folder / "log",
        )

    def ask(self, method: str, path: str, *, content: bytes = b"", **headers: str) -> int:
        """Return the status of the answer."""
        headers = headers or self.token
        return self.client.request(method, path, content=content, headers=headers).status_code

    def has(self, key: str) -> bool:
        return self.ask("GET", f"/v1/kv/{key}") == 200


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Audited]:
    with Audited(tmp_path) as server:
        yield server


def test_full_trail_holds_up_no_reads_and_no_commits(server: Audited):
    def put(key: str) -> Future[int]:
        return threads.submit(server.ask, "PUT", f"/v1/kv/{key}", content=b"1")

    def txn(key: str) -> Future[int]:
        content = b'{"then": [{"op": "put", "key": "%b", "text": "x"}]}' % key.encode()
        return threads.submit(
            server.ask, "POST", "/v1/txn", content=content, **server.token, **JSON
        )

    with ThreadPoolExecutor() as threads:
        held_up = [put("a")]
        wait_for(lambda: server.has("a"))
        for change, key in ((put, "b"), (txn, "c"), (txn, "d"), (put, "e")):
            held_up.append(change(key))
            wait_for(functools.partial(server.has, key))
        refused = threads.submit(server.ask, "GET", "/v1/kv/a", Authorization="Bearer x")
        wait_for(lambda: 'rundlet_refused_total{reason="unknown"} 1' in metrics(server))
        beside = [server.ask("GET", path) for path in ("/v1/kv/a", "/v1/keys", "/readyz", "/v1")]
        were_done = [asked.done() for asked in (*held_up, refused)]
        server.trail.read_on()
        statuses = [asked.result(PATIENCE_S) for asked in (*held_up, refused)]

    assert beside == [200] * 4
    assert not any(were_done)
    assert statuses == [201, 201, 200, 200, 201, 401]
    assert server.stop() == 0


def metrics(server: Audited) -> str:
    return server.client.get("/metrics", headers=server.token).text
