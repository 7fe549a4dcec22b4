"""What do 900 clients that send their bodies a byte at a time cost the others, at the median?

The others are 16 clients that read at full speed. A server may refuse slow clients; ``left`` is the
number of slow clients that it still served at the end.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from statistics import median

import pytest

from bench.recorder import Recorder
from bench.systems.catalogue import RUNDLETS
from bench.systems.running import Servers
from bench.systems.system import System
from bench.workload import READS

_SLOW = 900
_TURNS = 3
_INTERVAL_S = 1.0
_BODY_BYTES = 10_000
_HEAD = f"PUT /v1/kv/slow HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {_BODY_BYTES}\r\n\r\n"


@pytest.mark.parametrize("system", RUNDLETS, ids=lambda system: system.name)
def test_slow_clients(record: Recorder, servers: Servers, system: System) -> None:
    server = servers.get(system)

    def ask() -> dict[str, float]:
        pairs, left = [], _SLOW
        for _ in range(_TURNS):
            without_ms = server.read(READS)["p50 ms"]
            with _slow_clients(server.port) as slow:
                pairs.append((server.read(READS)["p50 ms"], without_ms))
                left = len(slow)
        return {
            "p50 to p50": median(one / other for one, other in pairs),
            "p50 ms with": median(one for one, _ in pairs),
            "p50 ms without": median(other for _, other in pairs),
            "left": left,
        }

    record.figures(ask, system=system.name)


@contextlib.contextmanager
def _slow_clients(port: int) -> Iterator[Sequence[socket.socket]]:
    """Send bodies slowly meanwhile; return the connections that the server has not closed yet."""
    over = threading.Event()
    with contextlib.ExitStack() as stack:
        connections = deque(
            stack.enter_context(socket.create_connection(("127.0.0.1", port))) for _ in range(_SLOW)
        )
        for connection in connections:
            connection.sendall(_HEAD.encode())
        thread = threading.Thread(target=_trickle, args=(connections, over))
        thread.start()
        try:
            time.sleep(_INTERVAL_S)
            yield connections
        finally:
            over.set()
            thread.join()


def _trickle(connections: deque[socket.socket], over: threading.Event) -> None:
    """Send a byte to one connection after the other; drop those that the server closes."""
    while connections and not over.wait(_INTERVAL_S / _SLOW):
        connection = connections.popleft()
        with contextlib.suppress(OSError):
            connection.send(b"x")
            connections.append(connection)
