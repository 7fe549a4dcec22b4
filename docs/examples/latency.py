"""How long a client waits: reads and durable writes of 100 bytes, one after the other.

    python docs/examples/latency.py [CLIENTS [SECONDS]]

Each client is a thread with one connection. With many clients this program, which is Python, needs
more of the processor than the server does: then the figures are those of both.

Talks to http://127.0.0.1:8000, or to the server that RUNDLET_URL names. Writes 1,000 keys
``latency/...``.
"""

# ruff: noqa: T201 -- an example for people prints

from __future__ import annotations

import http.client
import os
import statistics
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

ADDRESS = urlsplit(os.environ.get("RUNDLET_URL", "http://127.0.0.1:8000")).netloc
KEYS = 1_000
VALUE = bytes(100)

Request = Callable[[http.client.HTTPConnection, int], None]


def put(connection: http.client.HTTPConnection, number: int) -> None:
    """One durable write."""
    connection.request("PUT", f"/v1/kv/latency/{number % KEYS}", VALUE)
    answer = connection.getresponse()
    answer.read()
    if answer.status not in (http.client.CREATED, http.client.NO_CONTENT):
        sys.exit(f"PUT was answered with {answer.status}")


def get(connection: http.client.HTTPConnection, number: int) -> None:
    """One read."""
    connection.request("GET", f"/v1/kv/latency/{number % KEYS}")
    answer = connection.getresponse()
    if answer.read() != VALUE:
        sys.exit(f"GET was answered with {answer.status} and other bytes")


def waits_ms(request: Request, first: int, seconds: float) -> list[float]:
    """How long each request of one client took."""
    connection = http.client.HTTPConnection(ADDRESS, timeout=30)
    waits: list[float] = []
    end_s = time.perf_counter() + seconds
    while (start_s := time.perf_counter()) < end_s:
        request(connection, first + len(waits))
        waits.append(1_000 * (time.perf_counter() - start_s))
    connection.close()
    return waits


def measure(name: str, request: Request, clients: int, seconds: float) -> None:
    """Print a line: how many requests, and how long they took."""
    with ThreadPoolExecutor(clients) as pool:
        of_clients = [
            pool.submit(waits_ms, request, 37 * client, seconds) for client in range(clients)
        ]
        waits = sorted(wait for future in of_clients for wait in future.result())
    mean, half = statistics.fmean(waits), waits[len(waits) // 2]
    worst = waits[len(waits) * 99 // 100]
    rate = len(waits) / seconds
    print(f"{name} {rate:7,.0f}/s  mean {mean:.2f} ms  p50 {half:.2f} ms  p99 {worst:.2f} ms")


def main() -> None:
    """Write every key once, then measure."""
    clients = int(sys.argv[1]) if len(sys.argv) > 1 else 1
    seconds = float(sys.argv[2]) if len(sys.argv) > 2 else 1.0
    connection = http.client.HTTPConnection(ADDRESS, timeout=30)
    for number in range(KEYS):
        put(connection, number)
    measure("GET", get, clients, seconds)
    measure("PUT", put, clients, seconds)
    print("done")


if __name__ == "__main__":
    main()
