"""Test the work that requests of an event loop share, and that of answers in pieces."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import traceback
import weakref
from collections.abc import Iterator

import pytest

pytest.importorskip("granian")

from rundlet_server.server.granian.bridge import _InThreads
from rundlet_server.server.granian.waiting import LoopWaits, in_greenlet
from tests.support import PATIENCE_S
from tests.support.without_collector import without_collector


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


@pytest.mark.parametrize("is_shared", [False, True])
def test_traceback_of_work_that_fails_begins_where_it_failed(is_shared: bool):
    def fail() -> None:
        raise OSError("disk")

    def answer(waits: LoopWaits) -> list[str]:
        try:
            return waits.work_once("page", fail) or [] if is_shared else waits.work(fail) or []
        except OSError as ex:
            return [frame.name for frame in traceback.extract_tb(ex.__traceback__)]

    async def ask() -> list[str]:
        waits = LoopWaits(1)
        waits.begin(None)
        names = await in_greenlet(answer, waits)
        waits.end()
        return names

    names = asyncio.run(ask())

    assert (names[0], names[-1]) == ("answer", "fail")


class Noted(Exception):
    """A failure that is noted without being kept."""

    def __init__(self, noted: list[weakref.ref[Noted]]) -> None:
        super().__init__()
        noted.append(weakref.ref(self))


@pytest.mark.parametrize("is_shared", [False, True])
def test_work_that_fails_leaves_its_failure_to_no_frame(is_shared: bool):
    """Its traceback refers to what was read, such as files that compaction has removed since."""
    noted: list[weakref.ref[Noted]] = []

    def fail() -> None:
        raise Noted(noted)

    def answer(waits: LoopWaits) -> None:
        with contextlib.suppress(Noted):
            if is_shared:
                waits.work_once("page", fail)
            else:
                waits.work(fail)

    async def ask() -> list[Noted | None]:
        waits = LoopWaits(1)
        waits.begin(None)
        await in_greenlet(answer, waits)
        waits.pool.shutdown(wait=True)
        await asyncio.sleep(0)
        return [ref() for ref in noted]

    with without_collector():
        left = asyncio.run(ask())

    assert left == [None]


class Held:
    """An answer that holds something which cannot be released."""

    def __iter__(self) -> Iterator[bytes]:
        return iter([b"piece"])

    def close(self) -> None:
        raise OSError("the network is down")


@pytest.mark.parametrize("has_ended", [False, True])
def test_failure_to_release_what_an_answer_held_is_logged(
    caplog: pytest.LogCaptureFixture, has_ended: bool
):
    waits = LoopWaits(1)
    if has_ended:
        waits.end()

    _InThreads(Held(), waits).close()
    waits.pool.shutdown(wait=True)

    (record,) = caplog.records
    assert record.name == "rundlet.server"
    assert "the network is down" in caplog.text
