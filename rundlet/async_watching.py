"""``AsyncWatch`` follows the changes of a store in an event loop."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Self

import httpx

from rundlet.calls.call import Call
from rundlet.errors import ConnectionFailed, Unavailable
from rundlet.feed import FeedReader
from rundlet.following import BROKEN, HEADERS, SILENT_S, Following
from rundlet.model import Event
from rundlet.sending.async_transport import AsyncTransport
from rundlet.sending.running import run_async


class AsyncWatch:
    """An asynchronous iterator over changes, in order; use it as a context manager.

    It reconnects after failures as ``Watch`` does. One task iterates. If that task is cancelled
    while it waits, no event is lost, and the iteration can continue. Leaving the block ends the
    iteration, as does ``close``, which another task may call, too.
    """

    def __init__(self, transport: AsyncTransport, opening: Callable[[], Call[FeedReader]]) -> None:
        """Run ``opening`` when the block is entered, or before the first event."""
        self._transport = transport
        self._opening = opening
        self._following: Following | None = None
        self._response: httpx.Response | None = None
        self._pieces: AsyncIterator[bytes] | None = None
        self._closed = asyncio.Event()

    @property
    def position(self) -> int:
        """The revision up to which all events were returned; 0 before the watch begins."""
        return 0 if self._following is None else self._following.position

    async def close(self) -> None:
        """End the iteration; another task may call it, too. Closing twice is harmless."""
        self._closed.set()
        await self._disconnect()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        """Wait for the next event; raises as ``Watch`` does."""
        following = await self._begun()
        while not self._closed.is_set():
            try:
                event = following.next_event()
                if event is not None:
                    return event
                following.feed(await self._piece(following))
            except (ConnectionFailed, Unavailable) as ex:
                await self._disconnect()
                await self._pause(following.pause_s(ex))
            except BaseException as ex:
                if not isinstance(ex, asyncio.CancelledError):
                    self._closed.set()
                await self._disconnect()
                raise
        raise StopAsyncIteration

    async def _begun(self) -> Following:
        if self._following is None:
            reader = await run_async(self._opening(), self._transport.send)
            self._following = Following(reader)
        return self._following

    async def _piece(self, following: Following) -> bytes | None:
        """Read a piece, after connecting if necessary; ``None`` if the feed has ended."""
        try:
            pieces = self._pieces or await self._connected(following)
            return await anext(pieces, None)
        except BROKEN as ex:
            raise ConnectionFailed(str(ex)) from ex

    async def _connected(self, following: Following) -> AsyncIterator[bytes]:
        response = await self._transport.follow(following.path, HEADERS, read_s=SILENT_S)
        self._response = response
        following.connected(response)
        self._pieces = pieces = response.aiter_bytes()
        if self._closed.is_set():  # by a task that had no response to close yet
            await self._disconnect()
        return pieces

    async def _pause(self, pause_s: float) -> None:
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._closed.wait(), pause_s)

    async def _disconnect(self) -> None:
        response, self._response = self._response, None
        self._pieces = None
        if response is not None:
            with contextlib.suppress(httpx.HTTPError, OSError):
                await response.aclose()

    async def __aenter__(self) -> Self:
        """Begin the watch: no event that is committed from now on is missed."""
        await self._begun()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.close()
