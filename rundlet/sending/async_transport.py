"""Sends the requests of all tasks of an event loop to one server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager

import httpx

from rundlet.calls.call import Request
from rundlet.schemes import scheme_advice
from rundlet.sending.idempotency import safe_attempts
from rundlet.sending.origin import CONNECTIONS, FAILURES, LIMITS, NoCookies, Origin
from rundlet.sending.retrying import attempts
from rundlet.sending.running import run_async


class AsyncTransport:
    """Does as ``Transport`` does; its methods raise the same errors."""

    def __init__(self, origin: Origin) -> None:
        self.origin = origin
        self._connections = _Connections(self._make_http)

    async def send(self, request: Request) -> httpx.Response:
        """Send a request, and send it again if that is safe."""
        return await run_async(safe_attempts(request, self.origin), self._send_once)

    @asynccontextmanager
    async def stream(self, request: Request) -> AsyncIterator[httpx.Response]:
        """Send a read, with retries until its answer begins; the caller reads its body."""
        response = await run_async(attempts(request, self.origin.retries), self._open)
        try:
            yield response
        except FAILURES as ex:
            raise self.origin.error_of(ex, request, None) from ex
        finally:
            await response.aclose()

    async def follow(
        self, path: str, headers: Mapping[str, str], *, read_s: float
    ) -> httpx.Response:
        """Begin to read a streamed answer, in one attempt; the caller closes it."""
        timeout = httpx.Timeout(self.origin.timeout_s, read=read_s)
        request = Request("GET", path, is_write=False, headers=headers)
        return await run_async(attempts(request, 0), lambda asked: self._open(asked, timeout))

    async def close(self) -> None:
        """Close all connections; closing twice is harmless."""
        await self._connections.close()

    async def _send_once(self, request: Request) -> httpx.Response:
        try:
            response = await self._connections.send(self.origin.prepared(request))
        except FAILURES as ex:
            raise self.origin.error_of(ex, request, await self._advice(ex)) from ex
        self.origin.has_answered = True
        return response

    async def _open(self, request: Request, timeout: httpx.Timeout | None = None) -> httpx.Response:
        try:
            response = await self._connections.send(
                self.origin.prepared(request, timeout), is_stream=True
            )
            if not response.is_success:
                await response.aread()
        except FAILURES as ex:
            raise self.origin.error_of(ex, request, await self._advice(ex)) from ex
        self.origin.has_answered = True
        return response

    async def _advice(self, ex: Exception) -> str | None:
        if not self.origin.needs_advice(ex):
            return None
        return await asyncio.to_thread(scheme_advice, self.origin.base_url, ex)

    def _make_http(self) -> httpx.AsyncClient:
        origin = self.origin
        return httpx.AsyncClient(
            verify=origin.trusted(),
            trust_env=origin.trusts_environment,
            limits=LIMITS,
            cookies=NoCookies(),
        )


class _Connections:
    """The connections of one event loop.

    Connections work only in the loop that made them. A new loop, also that of a forked child, gets
    new connections.
    """

    def __init__(self, make_http: Callable[[], httpx.AsyncClient]) -> None:
        self._make_http = make_http
        self._http: httpx.AsyncClient | None = make_http()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._turns = asyncio.Semaphore(CONNECTIONS)
        self._is_closed = False

    async def send(self, request: httpx.Request, *, is_stream: bool = False) -> httpx.Response:
        """Send a request, and return the answer; with ``is_stream``, its body is unread.

        Raises:
            httpx.RequestError: there is no complete answer.
            RuntimeError: ``close`` was called.
        """
        http = self._current()
        try:
            if is_stream:
                return await http.send(request, stream=True)
            async with self._turns:  # however many tasks there are
                return await http.send(request)
        except asyncio.CancelledError:
            await _discard(http, request)
            raise

    async def close(self) -> None:
        """Close all connections; closing twice is harmless."""
        self._is_closed = True
        http, self._http = self._http, None
        if http is not None and self._loop in (None, asyncio.get_running_loop()):
            await http.aclose()

    def _current(self) -> httpx.AsyncClient:
        loop = asyncio.get_running_loop()
        if self._http is not None and self._loop is loop:
            return self._http
        if self._is_closed:
            raise RuntimeError("this client is closed; make another one")
        if self._http is None or self._loop is not None:
            self._http = self._make_http()
            self._turns = asyncio.Semaphore(CONNECTIONS)
        self._loop = loop
        return self._http


async def _discard(http: httpx.AsyncClient, request: httpx.Request) -> None:
    """Close the connection of a cancelled request if httpcore leaves it in use for ever.

    httpcore 1.0.9 does that if the cancellation comes while it takes a lock: before it begins the
    request, or when the answer is read and it returns the connection to its pool. It has no public
    way to close the connection.
    """
    pool = http._transport_for_url(request.url)._pool  # type: ignore[attr-defined] # see above
    others = [each for each in pool._requests if each.request.extensions is not request.extensions]
    in_use = {id(each.connection) for each in others}
    left = [each for each in pool._connections if not (each.is_idle() or id(each) in in_use)]
    pool._requests[:] = others
    for connection in left:
        pool._connections.remove(connection)
        await connection.aclose()
