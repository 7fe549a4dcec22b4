"""Test work that requests of an event loop share."""

from __future__ import annotations

import asyncio
import threading

import pytest

pytest.importorskip("granian")

from rundlet_server.server.granian.waiting import LoopWaits, in_greenlet
from tests.support import PATIENCE_S


class Work:
    """Work that goes on until the test releases it."""

    def __init__(self) -> None:
        self.calls = 0
        self.may_end = threading.Event()

    def __call__(self) -> int:
        self.calls += 1
        assert self.may_end.wait(PATIENCE_S)
        return self.calls


def test_requests_that_ask_at_once_share_one_result():
    work = Work()

    async def ask() -> list[int]:
        waits = LoopWaits(1)
        waits.begin(None)
        requests = [
            asyncio.create_task(in_greenlet(waits.work_once, "page", work)) for _ in range(10)
        ]
        await asyncio.sleep(0.05)
        requests[0].cancel()  # the others keep what it began
        work.may_end.set()
        answers = await asyncio.gather(*requests[1:])
        later = await in_greenlet(waits.work_once, "page", work)
        waits.end()
        return [*answers, later]

    assert asyncio.run(ask()) == [1] * 9 + [2]


def test_failure_reaches_all_that_share_it():
    def fail() -> None:
        raise OSError("disk")

    async def ask() -> list[object]:
        waits = LoopWaits(1)
        waits.begin(None)
        requests = [in_greenlet(waits.work_once, "page", fail) for _ in range(3)]
        found: list[object] = await asyncio.gather(*requests, return_exceptions=True)
        waits.end()
        return found

    assert [str(found) for found in asyncio.run(ask())] == ["disk"] * 3
