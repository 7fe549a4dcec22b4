"""How much does the Python client add to httpx, on the same reads?

Both read the same keys in turns, so that other load on the machine affects both. The ratio compares
the processor time of this process; that of the server does not count.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable, Iterator
from itertools import cycle

import httpx
import pytest

from bench.recorder import Recorder
from bench.systems.catalogue import GRANIAN
from bench.systems.running import Servers
from bench.workload import key_of
from rundlet import AsyncClient, Client

_KEYS = 500
_TURNS = 20
_READS_A_TURN = 200


def test_client(record: Recorder, servers: Servers) -> None:
    url = f"http://127.0.0.1:{servers.get(GRANIAN).port}"

    def ask() -> dict[str, float]:
        with Client(url) as client, httpx.Client() as bare:
            keys, urls = _keys(), _urls(url)

            def ours() -> None:
                for _ in range(_READS_A_TURN):
                    assert client.get(next(keys)) is not None

            def theirs() -> None:
                for _ in range(_READS_A_TURN):
                    assert bare.get(next(urls)).content

            return _figures([(_timed(ours), _timed(theirs)) for _ in range(_TURNS)])

    record.figures(ask, system="rundlet.Client")


@pytest.mark.parametrize("tasks", [1, 16])
def test_async_client(record: Recorder, servers: Servers, tasks: int) -> None:
    url = f"http://127.0.0.1:{servers.get(GRANIAN).port}"

    async def ask() -> dict[str, float]:
        async with AsyncClient(url) as client, httpx.AsyncClient() as bare:
            keys, urls = _keys(), _urls(url)

            async def ours() -> None:
                assert await client.get(next(keys)) is not None

            async def theirs() -> None:
                assert (await bare.get(next(urls))).content

            pairs = [
                (await _timed_async(ours, tasks), await _timed_async(theirs, tasks))
                for _ in range(_TURNS)
            ]
        return _figures(pairs)

    record.figures(lambda: asyncio.run(ask()), system="rundlet.AsyncClient", case=f"{tasks} tasks")


def _keys() -> Iterator[str]:
    return cycle([key_of(number) for number in range(_KEYS)])


def _urls(url: str) -> Iterator[str]:
    return cycle([f"{url}/v1/kv/{key_of(number)}" for number in range(_KEYS)])


def _timed(work: Callable[[], None]) -> tuple[float, float]:
    """Return the seconds of work by the clock and of the processor."""
    began_s, began_cpu_s = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - began_s, time.process_time() - began_cpu_s


async def _timed_async(read: Callable[[], Awaitable[None]], tasks: int) -> tuple[float, float]:
    async def many() -> None:
        for _ in range(_READS_A_TURN // tasks):
            await read()

    began_s, began_cpu_s = time.perf_counter(), time.process_time()
    await asyncio.gather(*(many() for _ in range(tasks)))
    return time.perf_counter() - began_s, time.process_time() - began_cpu_s


def _figures(pairs: list[tuple[tuple[float, float], tuple[float, float]]]) -> dict[str, float]:
    """Return the figures of turns, of which the first only warms up."""
    ours, theirs = zip(*pairs[1:], strict=True)
    reads = _READS_A_TURN * len(ours)
    return {
        "requests/s": reads / sum(clock for clock, _ in ours),
        "httpx requests/s": reads / sum(clock for clock, _ in theirs),
        "of httpx": statistics.median(bare[1] / own[1] for own, bare in pairs[1:]),
    }
