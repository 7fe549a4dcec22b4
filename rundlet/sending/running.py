"""Runs operations, once with threads and once with ``await``; only this code differs."""

from __future__ import annotations

import time
from collections.abc import (
    AsyncIterable,
    AsyncIterator,
    Awaitable,
    Callable,
    Generator,
    Iterable,
    Iterator,
)
from typing import TypeAlias, TypeVar

import httpx

from rundlet.calls.call import Call, Feeding, Listing, Pause, Request
from rundlet.errors import RundletError

T = TypeVar("T")
Step = TypeVar("Step")
Row = TypeVar("Row")
Send: TypeAlias = Callable[[Request], httpx.Response]
AsyncSend: TypeAlias = Callable[[Request], Awaitable[httpx.Response]]
_Outcome: TypeAlias = httpx.Response | RundletError | None


def run(call: Call[T], send: Send) -> T:
    """Run an operation, and return its result."""
    try:
        step = next(call)
        while True:
            step = _resume(call, _outcome(step, send))
    except StopIteration as ex:
        result: T = ex.value
        return result


def run_each(listing: Listing[T], send: Send) -> Iterator[T]:
    """Yield the results of an operation with many results."""
    try:
        step = next(listing)
        while True:
            if isinstance(step, list):
                yield from step
                step = next(listing)
            else:
                step = _resume(listing, _outcome(step, send))
    except StopIteration:
        return


def run_fed(feeding: Feeding[Row, T], rows: Iterable[Row], send: Send) -> T:
    """Feed rows to an operation, and return its result."""
    for row in rows:
        call = feeding.add(row)
        if call is not None:
            run(call, send)
    return run(feeding.end(), send)


def _outcome(step: Request | Pause, send: Send) -> _Outcome:
    """Do a step."""
    if isinstance(step, Pause):
        time.sleep(step.seconds)
        return None
    try:
        return send(step)
    except RundletError as ex:
        return ex


def _resume(steps: Generator[Step, httpx.Response, T], outcome: _Outcome) -> Step:
    """Resume an operation after a step, and return the next one."""
    if outcome is None:
        return next(steps)
    if isinstance(outcome, RundletError):
        return steps.throw(outcome)
    return steps.send(outcome)


async def run_async(call: Call[T], send: AsyncSend) -> T:
    """Do as ``run`` does."""
    try:
        step = next(call)
        while True:
            step = _resume(call, await _outcome_async(step, send))
    except StopIteration as ex:
        result: T = ex.value
        return result


async def run_each_async(listing: Listing[T], send: AsyncSend) -> AsyncIterator[T]:
    """Do as ``run_each`` does."""
    try:
        step = next(listing)
        while True:
            if isinstance(step, list):
                for result in step:
                    yield result
                step = next(listing)
            else:
                step = _resume(listing, await _outcome_async(step, send))
    except StopIteration:
        return


async def run_fed_async(
    feeding: Feeding[Row, T], rows: Iterable[Row] | AsyncIterable[Row], send: AsyncSend
) -> T:
    """Do as ``run_fed`` does; the rows may come from an asynchronous iterator."""
    async for row in _each_of(rows):
        call = feeding.add(row)
        if call is not None:
            await run_async(call, send)
    return await run_async(feeding.end(), send)


async def pause_async(seconds: float) -> None:
    """Wait so many seconds while other tasks run."""
    import asyncio  # noqa: PLC0415 - its import takes a third of httpx's, and `Client` needs none

    await asyncio.sleep(seconds)


async def _outcome_async(step: Request | Pause, send: AsyncSend) -> _Outcome:
    if isinstance(step, Pause):
        await pause_async(step.seconds)
        return None
    try:
        return await send(step)
    except RundletError as ex:
        return ex


async def _each_of(rows: Iterable[Row] | AsyncIterable[Row]) -> AsyncIterator[Row]:
    if isinstance(rows, AsyncIterable):
        async for row in rows:
            yield row
    else:
        for row in rows:
            yield row
