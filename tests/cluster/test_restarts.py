"""Two servers on one engine behind nginx, restarted one after the other while they are used.

What clients see: a write is read at once, whichever server answers; no request fails but for those
that say that they may be sent again; and a feed goes on without a loss or a repeat.
"""

from __future__ import annotations

import contextlib
import itertools
import ssl
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import httpx
import pytest

from rundlet import Client
from tests.support import PATIENCE_S
from tests.support.processes.engines import store_address
from tests.support.processes.fronts import Front, nginx
from tests.support.processes.servers import RundletServer, free_port, wait_for

SERVERS: Final = {"waitress": (), "granian": ("--server", "granian", "--workers", "1")}
CLIENTS: Final = 3


class Pair:
    """Two servers on one store, each on a port that it has again after a restart."""

    def __init__(self, address: str, options: Sequence[str], folder: Path) -> None:
        self._options = ("--store", address, *options)
        self._folder = folder
        self._ports = [free_port(), free_port()]
        self._running = [self._start(0), self._start(1)]

    @property
    def urls(self) -> list[str]:
        return [f"http://127.0.0.1:{port}" for port in self._ports]

    def restart(self, number: int) -> None:
        """End a server as a supervisor does, and start it again."""
        assert self._running[number].stop() == 0
        self._running[number].__exit__()
        self._running[number] = self._start(number)

    def close(self) -> None:
        for server in self._running:
            server.__exit__()

    def _start(self, number: int) -> RundletServer:
        port = str(self._ports[number])
        stderr = self._folder / f"server{number}"
        return RundletServer(*self._options, "--port", port, stderr_path=stderr).__enter__()


@dataclass
class Use:
    """What clients did with one address, and how it was answered.

    Attributes:
        written: keys in the order of their acknowledgement, with their revision.
        again: how many requests were answered that they may be sent again.
        failures: any other answer that is no success, or is wrong.
    """

    front: Front
    written: dict[str, int] = field(default_factory=dict)
    again: int = 0
    failures: list[str] = field(default_factory=list)

    def run(self, number: int, stopping: threading.Event) -> None:
        """Write, read what was written, count, list; again and again."""
        context = ssl.create_default_context(cafile=self.front.ca_path)
        url = f"https://localhost:{self.front.port}"
        with httpx.Client(base_url=url, verify=context, timeout=PATIENCE_S) as client:
            for count in itertools.count():
                if stopping.is_set():
                    return
                key = f"{number}/{count}"
                put = self.ask(client, "PUT", f"/v1/kv/{key}", content=key.encode())
                if put is None:
                    return
                self.written[key] = int(put.headers["Kv-Revision"])
                got = self.ask(client, "GET", f"/v1/kv/{key}")
                add = {"then": [{"op": "add", "key": f"count/{number}", "by": 1}]}
                added = self.ask(client, "POST", "/v1/txn", json=add)
                listed = self.ask(client, "GET", f"/v1/keys?prefix={number}/&limit=1&reverse=true")
                if got is None or added is None or listed is None:
                    return
                if got.text != key or added.json()["results"][0]["number"] != count + 1:
                    self.failures.append(f"{key}: read {got.text!r}, added {added.text}")

    def ask(
        self, client: httpx.Client, method: str, path: str, **options: object
    ) -> httpx.Response | None:
        """Ask until the answer is a success; ``None`` if it is a failure."""
        while True:
            try:
                answer = client.request(method, path, **options)
            except httpx.HTTPError as ex:
                self.failures.append(f"{method} {path}: {ex!r}")
                return None
            if answer.is_success:
                return answer
            if answer.status_code != 503 or "Retry-After" not in answer.headers:
                self.failures.append(f"{method} {path}: {answer.status_code} {answer.text}")
                return None
            self.again += 1
            time.sleep(0.05)


@contextlib.contextmanager
def using(front: Front) -> Iterator[Use]:
    """Have clients use the address while the block runs, and a reader follow the feed."""
    use, stopping = Use(front), threading.Event()
    events: list[tuple[int, str]] = []
    with Client(f"https://localhost:{front.port}", ca_file=front.ca_path) as client:
        watch = client.watch(since=0)

        def follow() -> None:
            events.extend((event.revision, event.key) for event in watch)

        following = threading.Thread(target=follow)
        clients = [threading.Thread(target=use.run, args=(n, stopping)) for n in range(CLIENTS)]
        for thread in (following, *clients):
            thread.start()
        try:
            wait_for(lambda: use.failures or len(use.written) > CLIENTS)
            yield use
        finally:
            stopping.set()
            for thread in clients:
                thread.join()
            last = max(use.written.values(), default=0)
            with contextlib.suppress(AssertionError):  # told by the comparison below
                wait_for(lambda: events and events[-1][0] >= last)
            watch.close()
            following.join()
    assert use.failures == []
    assert [revision for revision, _ in events] == sorted(revision for revision, _ in events)
    seen = [(key, revision) for revision, key in events if not key.startswith("count/")]
    assert sorted(seen) == sorted(use.written.items())


def restart_each(engine: str, kind: str, place: Path, *, rounds: int) -> Use:
    """Restart both servers of an engine, one after the other, and return what clients saw."""
    address = store_address(engine, place)
    with (
        contextlib.closing(Pair(address, SERVERS[kind], place)) as pair,
        nginx(pair.urls, place) as front,
        using(front) as use,
    ):
        for number in (0, 1) * rounds:
            time.sleep(2)  # nginx, which counts whole seconds, uses a server that was away again
            pair.restart(number)
        time.sleep(0.5)
    return use


@pytest.mark.parametrize("engine", ["etcd", "postgresql"])
def test_restart_of_each_server_fails_no_request(engine, tmp_path):
    assert len(restart_each(engine, "waitress", tmp_path, rounds=1).written) > CLIENTS


@pytest.mark.cluster
@pytest.mark.parametrize("engine", ["etcd", "postgresql"])
def test_more_restarts_of_granian_fail_no_request(engine, tmp_path, tell):
    use = restart_each(engine, "granian", tmp_path, rounds=2)

    tell(f"{len(use.written)} written, {use.again} sent again")
