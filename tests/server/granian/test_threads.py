"""Test which requests of a Granian worker share threads."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterable
from typing import Any

import pytest

pytest.importorskip("granian")

from rundlet_server.functions.serving import Service
from rundlet_server.functions.settings import ConnectionLimits
from rundlet_server.server.granian.bridge import Bridge
from rundlet_server.server.granian.waiting import POOL_THREADS, LoopWaits
from tests.support import PATIENCE_S
from tests.support.wire.refusing import refuse

LARGE = bytes(100_000)


def scope_of(method: str, size: int) -> Any:
    return {
        **{"type": "http", "http_version": "1.1", "scheme": "http", "method": method},
        **{"server": ("127.0.0.1", "80"), "client": ("127.0.0.1", "1")},
        **{"raw_path": b"/", "query_string": b""},
        "headers": [(b"host", b"localhost"), (b"content-length", str(size).encode())],
    }


def test_large_bodies_leave_threads_to_lists():
    may_end = threading.Event()

    def app(environ: dict[str, Any], start_response: Callable[..., object]) -> Iterable[bytes]:
        if environ["REQUEST_METHOD"] == "POST":
            assert may_end.wait(PATIENCE_S)
        start_response("200 OK", [])
        return []

    async def ask(bridge: Bridge, method: str, body: bytes = b"") -> None:
        async def send(_message: dict[str, object]) -> None:
            pass

        def receive() -> asyncio.Future[Any]:
            future = asyncio.get_running_loop().create_future()
            future.set_result({"type": "http.request", "body": body, "more_body": False})
            return future

        await bridge.answer(scope_of(method, len(body)), receive, send)

    async def main() -> None:
        waits = LoopWaits()
        service = Service(app, lambda _: False, lambda _: len(LARGE), refuse)
        bridge = Bridge(
            service, waits, ConnectionLimits(), receiving_bytes_max=2**30, is_ending=bool
        )
        bridge.begin()
        imports = [asyncio.create_task(ask(bridge, "POST", LARGE)) for _ in range(POOL_THREADS)]
        await asyncio.sleep(0.1)
        async with asyncio.timeout(PATIENCE_S / 2):
            await ask(bridge, "GET")
        may_end.set()
        await asyncio.gather(*imports)
        await bridge.end(0)

    asyncio.run(main())
