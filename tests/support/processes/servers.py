"""Start real servers in tests, and end them by process id."""

from __future__ import annotations

import contextlib
import os
import random
import re
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, Self, TypeVar

import httpx

from tests.support import PATIENCE_S

T = TypeVar("T")
_GIVEN_PORTS: Final[set[int]] = set()
NO_AUTHORITY: Final = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""For clients over HTTP, where no authority is needed: httpx would load its list for 20 ms."""


class ServerProcess:
    """A server in a process of its own, with its output on stderr.

    Use it as a context manager, which kills the process if it still runs at the end.
    """

    def __init__(self, command: Sequence[str], *, stderr_path: Path) -> None:
        self._stderr_path = stderr_path
        with stderr_path.open("wb") as stderr:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stderr=stderr,
                start_new_session=True,
                env=os.environ | {"PYTHONUNBUFFERED": "1"},
            )

    @property
    def stderr(self) -> str:
        return self._stderr_path.read_text()

    def wait_for_line(self, start: str) -> str:
        """Wait for a line of stderr that starts like this, and return the first one."""

        def found() -> str | None:
            assert self.process.poll() is None, f"ended: {self.stderr}"
            lines = self.stderr.splitlines(keepends=True)
            return next((x for x in lines if x.startswith(start) and x.endswith("\n")), None)

        return wait_for(found).rstrip("\n")

    def wait(self, timeout_s: float = PATIENCE_S) -> int:
        return self.process.wait(timeout_s)

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


class RundletServer(ServerProcess):
    """``rundlet serve`` on a free port, at the address ``url``."""

    def __init__(self, *arguments: str | Path, stderr_path: Path) -> None:
        command = [sys.executable, "-m", "rundlet_server", "serve", "--port", "0"]
        super().__init__([*command, *map(str, arguments)], stderr_path=stderr_path)

    def __enter__(self) -> Self:
        line = self.wait_for_line("Rundlet ")
        self.url = line.split(" on ")[1].split(" ")[0]
        self.client = httpx.Client(base_url=self.url, verify=NO_AUTHORITY, timeout=PATIENCE_S)
        return self

    def __exit__(self, *exception: object) -> None:
        self.client.close()
        super().__exit__(*exception)


@contextlib.contextmanager
def silent_clients(
    server: RundletServer, count: int, sent: bytes, *, timeout_s: float = PATIENCE_S
) -> Iterator[list[socket.socket]]:
    """Open connections that send this and then stop; a read waits ``timeout_s`` at most."""
    url = httpx.URL(server.url)
    with contextlib.ExitStack() as stack:
        opened = []
        for _ in range(count):
            connection = stack.enter_context(socket.create_connection((url.host, url.port)))
            connection.sendall(sent)
            connection.settimeout(timeout_s)
            opened.append(connection)
        yield opened


def ask_once(
    method: str, url: str, *, timeout: float = PATIENCE_S, **options: Any
) -> httpx.Response:
    """Send a request over HTTP, on a connection of its own."""
    return httpx.request(method, url, timeout=timeout, verify=NO_AUTHORITY, **options)


def wait_for(probe: Callable[[], T | None], timeout_s: float = PATIENCE_S) -> T:
    """Call a function until its result is true; return that result."""
    deadline = time.monotonic() + timeout_s
    while True:
        answer = probe()
        if answer:
            return answer
        assert time.monotonic() < deadline, f"waited {timeout_s} s for {probe}"
        time.sleep(0.02)


def is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"  # ended, but not yet asked for by its parent


def children_of(pid: int) -> list[int]:
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            if path.read_text().rpartition(")")[2].split()[1] == str(pid):
                found.append(int(path.parent.name))
        except OSError:
            continue
    return found


def private_folder_of(pid: int) -> Path:
    """Return the folder whose lock a server holds: of its counters, and of a store in memory."""
    held = set()
    for path in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):  # other files come and go
            held.add(path.readlink())
    [folder] = [path for path in held if path.name.startswith("rundlet-run-")]
    return folder


def worker_pids(server_pid: int) -> list[int]:
    """Return the process ids of a server's Granian workers; it has other children, too."""
    found = []
    for pid in children_of(server_pid):
        try:
            if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes():
                found.append(pid)
        except OSError:
            continue
    return found


def wait_for_processes(server: RundletServer, workers: int = 1) -> None:
    """Wait until the maintenance process and so many workers have the store open.

    One that is still starting adds to the memory of the server, and makes a folder that it misses.
    A process counts before it opens the store, and opens the file of the maintenance lock last.
    """
    roles = {("worker", str(workers)), ("maintenance", "1")}

    def run() -> bool:
        text = server.client.get("/metrics").text
        return set(re.findall(r'^rundlet_processes{role="(\w+)"} (\d+)', text, re.M)) == roles

    def have_opened() -> bool:
        pids = [server.process.pid, *children_of(server.process.pid)]
        return sum("MAINTENANCE" in open_names(pid) for pid in pids) == workers + 1

    wait_for(run)
    wait_for(have_opened)


def open_names(pid: int) -> set[str]:
    """Return the names, without their folders, of the files that a process has open."""
    found = set()
    with contextlib.suppress(OSError):  # it may end, and other files come and go
        for path in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(OSError):
                found.add(path.readlink().name)
    return found


def free_port() -> int:
    """Return a free port outside the range that the system chooses from, and none returned before.

    So it is still free when a server starts on it, also beside another one.
    """
    while True:
        with socket.socket() as probe, contextlib.suppress(OSError):
            port = random.SystemRandom().randrange(20_000, 32_000)
            probe.bind(("127.0.0.1", port))
            if port not in _GIVEN_PORTS:
                _GIVEN_PORTS.add(port)
                return port


def is_open(port: int) -> bool:
    """Whether a server of this machine accepts connections."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def is_held_by_server(connection: socket.socket) -> bool:
    """Whether the server still has its end of a connection open.

    The client cannot tell: what was sent to it before stands between it and the end.
    """
    fields = _end_of_server(connection)
    return fields is not None and fields[9] != "0"  # the inode: none where no process has it


def has_read_all(connection: socket.socket) -> bool:
    """Whether the server has read all that was sent on a connection."""
    fields = _end_of_server(connection)
    return fields is not None and fields[9] != "0" and int(fields[4].partition(":")[2], 16) == 0


def holder_of(connection: socket.socket, pids: Sequence[int]) -> int:
    """Return the process that has the server's end of a connection open."""
    fields = _end_of_server(connection)
    assert fields is not None
    wanted = f"socket:[{fields[9]}]"
    for pid in pids:
        for link in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(FileNotFoundError):  # closed meanwhile
                if os.readlink(link) == wanted:
                    return pid
    raise AssertionError(f"none of {pids} has it")


def _end_of_server(connection: socket.socket) -> list[str] | None:
    """Return what the system tells of the server's end of a connection, if it is there."""
    (host, port), (_, server_port) = connection.getsockname(), connection.getpeername()
    assert host == "127.0.0.1"
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        ports = [int(address.partition(":")[2], 16) for address in fields[1:3]]
        if ports == [server_port, port]:
            return fields
    return None
