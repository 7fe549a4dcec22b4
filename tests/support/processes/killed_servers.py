"""Helpers of the acceptance tests: a plain HTTP client, and ways to kill a server."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple, NoReturn, Self

from tests.support import PATIENCE_S
from tests.support.processes.servers import RundletServer, children_of, is_running, wait_for

WAITRESS = ("--server", "waitress")
GRANIAN = ("--server", "granian", "--workers", "2")
SERVERS = [WAITRESS, GRANIAN]
SERVER_NAMES = ["waitress", "granian"]


class Answer(NamedTuple):
    """An answer, with its header names in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self):
        return json.loads(self.body)


class Connection:
    """One persistent connection, for one thread at a time."""

    def __init__(self, port: int, *, timeout_s: float = PATIENCE_S) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout_s)

    def ask(self, method: str, target: str, body: bytes | None = None, **headers: str) -> Answer:
        """Send a request; underscores in header names stand for hyphens."""
        named = {name.replace("_", "-"): text for name, text in headers.items()}
        self._connection.request(method, target, body=body, headers=named)
        answer = self._connection.getresponse()
        found = {name.lower(): text for name, text in answer.getheaders()}
        return Answer(answer.status, found, answer.read())

    def hang_up(self, method: str, target: str, body: bytes | None, **headers: str) -> NoReturn:
        """Send a request, and close the connection before its answer comes."""
        named = {name.replace("_", "-"): text for name, text in headers.items()}
        self._connection.request(method, target, body=body, headers=named)
        self.close()
        raise ConnectionAbortedError

    def send(self, target: str, body: object) -> Answer:
        """POST some JSON."""
        encoded = json.dumps(body).encode()
        return self.ask("POST", target, encoded, Content_Type="application/json")

    def txn(self, *then: object, **lists: object) -> Answer:
        return self.send("/v1/txn", {"then": then, **lists})

    def close(self) -> None:
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def start(folder: Path, *options: str | Path) -> RundletServer:
    """Start a server on ``folder/data`` whose stderr goes to a file beside it."""
    log = folder / f"stderr-{len(list(folder.glob('stderr-*')))}"
    return RundletServer("--data", folder / "data", *options, stderr_path=log)


def port_of(server: RundletServer) -> int:
    return int(server.url.rpartition(":")[2])


def connect(server: RundletServer) -> Connection:
    return Connection(port_of(server))


def processes_of(pid: int) -> list[int]:
    """Return a process and all its descendants; the process is the first."""
    return [pid, *(found for child in children_of(pid) for found in processes_of(child))]


def kill_whole(server: RundletServer) -> None:
    """Kill every process of a server with ``kill -9``; return when all have ended."""
    pids = processes_of(server.process.pid)
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):  # some end by themselves without the first
            os.kill(pid, signal.SIGKILL)
    server.process.wait(PATIENCE_S)
    wait_for(lambda: not any(is_running(pid) for pid in pids))


def in_threads(work: Callable[[int], object], count: int) -> list[object]:
    """Call ``work`` with 0, 1 ... at the same time; return its results or raise its first error."""
    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(work, range(count)))
