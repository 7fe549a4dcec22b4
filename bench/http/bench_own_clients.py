"""How many values a second do 16 tasks of a Python program read and write, by each own client?

Redis and NATS are asked over their own protocols. In all cases, the program is the limit, not the
store. The program reads back every acknowledged write.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from itertools import count
from pathlib import Path
from typing import Final

import pytest

from bench.errors import LoadFailed
from bench.recorder import Figures, Recorder
from bench.scale import Scale
from bench.systems.clients import BY_CLIENT, Access, Connected
from bench.systems.processes import Processes
from bench.workload import key_of, value_of

_TASKS: Final = 16
_KEYS: Final = 1_000


@pytest.mark.parametrize("access", BY_CLIENT, ids=lambda access: access.name)
def test_read(record: Recorder, folder: Path, scale: Scale, access: Access) -> None:
    async def ask(connected: Connected) -> Figures:
        await _write(connected, range(_KEYS))
        numbers = count()

        async def read() -> None:
            number = next(numbers) % _KEYS
            if await connected.get(key_of(number)) != value_of(number):
                raise LoadFailed(f"{key_of(number)} does not have its value")

        return {"requests/s": await _rate(read, scale.load_s)}

    record.figures(lambda: _connected(access, folder, ask), system=access.name, case="read")


@pytest.mark.parametrize("access", BY_CLIENT, ids=lambda access: access.name)
def test_write(record: Recorder, folder: Path, scale: Scale, access: Access) -> None:
    async def ask(connected: Connected) -> Figures:
        numbers = count()

        async def write() -> None:
            number = next(numbers)
            await connected.put(key_of(number), value_of(number))

        rate = await _rate(write, scale.load_s)
        for number in range(next(numbers)):
            if await connected.get(key_of(number)) != value_of(number):
                raise LoadFailed(f"the acknowledged write of {key_of(number)} is lost")
        return {"requests/s": rate}

    case = "durable write" if access.is_durable else "write, synced later"
    record.figures(lambda: _connected(access, folder, ask), system=access.name, case=case)


def _connected(
    access: Access, folder: Path, ask: Callable[[Connected], Awaitable[Figures]]
) -> Figures:
    """Start a store, and ask it."""

    async def run() -> Figures:
        async with access.open(processes) as connected:
            return await ask(connected)

    with Processes(folder) as processes:
        return asyncio.run(run())


async def _write(connected: Connected, numbers: range) -> None:
    for first in numbers[::_TASKS]:
        some = range(first, min(first + _TASKS, numbers.stop))
        await asyncio.gather(*(connected.put(key_of(n), value_of(n)) for n in some))


async def _rate(work: Callable[[], Awaitable[None]], load_s: float) -> float:
    """Do some work again and again in each task; return how often it was done a second."""
    began_s = time.perf_counter()

    async def task() -> int:
        done = 0
        while time.perf_counter() - began_s < load_s:
            await work()
            done += 1
        return done

    counts = await asyncio.gather(*(task() for _ in range(_TASKS)))
    return sum(counts) / (time.perf_counter() - began_s)
