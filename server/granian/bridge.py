"""The ASGI application of a worker, around the WSGI application of ``functions``.

1. A plain read is answered before it reaches the loop (``shortcut``).
2. A plain write does not reach the loop either: the thread that commits or records it answers it
   (``writes``). The thread that receives the body of a plain mget answers the mget (``mgets``).
3. The head is checked, and the body received whole, in the loop: neither takes a thread.
4. A request whose work is short is answered in the loop, in a greenlet (``waiting``). One whose
   work is long, or whose body is large, is answered in a thread of one of two small pools. If the
   store is remote, every request is answered in a thread.
5. The answer is sent piece by piece while the client reads it. The greenlet makes each piece, or a
   thread does if the store is remote.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final

from rundlet_server.functions.feeds.connection import CONNECTION
from rundlet_server.functions.messages.target import raw_path
from rundlet_server.functions.messages.uploads import DISCARD_BYTES_MAX
from rundlet_server.functions.monitoring.quick import QUICK_METHODS, QUICK_WRITES
from rundlet_server.functions.problems import Problem
from rundlet_server.functions.serving import Service
from rundlet_server.functions.settings import ConnectionLimits
from rundlet_server.server.granian.arrivals import Arrivals, take_arrivals
from rundlet_server.server.granian.bodies import (
    BadChunkError,
    Body,
    BodyMemory,
    BrokenOffError,
    Message,
    Patience,
    Receive,
    TooLargeError,
)
from rundlet_server.server.granian.connections import ConnectionCloser
from rundlet_server.server.granian.environ import Scope, environ_of, head_bytes
from rundlet_server.server.granian.exchange import Exchange, Send
from rundlet_server.server.granian.mgets import Mgets
from rundlet_server.server.granian.shortcut import Request, Schedule, send_answer
from rundlet_server.server.granian.waiting import LoopWaits, in_greenlet
from rundlet_server.server.granian.writes import Writes
from rundlet_server.server.messages.checks import Framing
from rundlet_server.server.messages.refusals import (
    HeadError,
    problem_of_head,
    too_large_head,
)
from rundlet_server.storage.counting.heartbeat import BEAT_EVERY_S

if TYPE_CHECKING:
    from wsgiref.types import WSGIEnvironment

_LARGE_BODY_BYTES: Final = 64 * 1024
"""A request with a larger body is answered in a thread: decoding takes long on every route."""
_LINGER_S: Final = 10.0

_logger = logging.getLogger("rundlet.server")


class Bridge:
    """Serves a WSGI application in an event loop."""

    def __init__(
        self,
        service: Service,
        waits: LoopWaits,
        limits: ConnectionLimits,
        *,
        receiving_bytes_max: int,
        is_ending: Callable[[], bool],
    ) -> None:
        """Serve ``service``, whose requests wait with ``waits``, until ``is_ending`` is true."""
        self._service = service
        self._app = service.app
        self._quick = service.quick
        self._waits = waits
        self._header_bytes_max = limits.header_bytes_max
        self._memory = BodyMemory(receiving_bytes_max)
        self._patience = Patience(limits.body_timeout_s, is_ending)
        self._closer = ConnectionCloser()
        self._arrivals = Arrivals(self._patience, self._closer, is_ending)
        self._writes = Writes(
            service.quick_writes, waits.commit_for, waits.record_later, self._arrivals
        )
        self._mgets = Mgets(service.quick_mgets, self._arrivals)
        self._is_ending = is_ending
        self._in_flight = 0

    def begin(self) -> None:
        """Begin to serve; call it in the loop."""
        loop = asyncio.get_running_loop()
        self._waits.begin(self._service.store, self._writes.record_group)
        self._patience.check_often(loop)
        take_arrivals(loop)
        self._beat_often(loop)

    def _beat_often(self, loop: asyncio.AbstractEventLoop) -> None:
        self._service.beat()
        loop.call_later(BEAT_EVERY_S, self._beat_often, loop)

    async def end(self, most_s: float) -> None:
        """Wait up to ``most_s`` for in-flight requests, then end all threads."""
        loop = asyncio.get_running_loop()
        ends_s = loop.time() + most_s
        while (self._in_flight or self._arrivals.in_flight) and loop.time() < ends_s:
            await asyncio.sleep(0.01)
        self._waits.end()

    def take(self, request: Request, schedule: Schedule) -> bool:
        """Answer a plain read, or begin to answer a plain write or mget; see ``shortcut.Take``."""
        scope = request.scope
        if head_bytes(scope) > self._header_bytes_max:
            return False
        method = scope["method"]
        if method in QUICK_WRITES:
            return self._writes.begin(request, schedule)
        if method == "POST":
            return self._mgets.begin(request, schedule)
        is_read = method in QUICK_METHODS and not scope["query_string"]
        return is_read and self._is_answered(request, scope)

    def _is_answered(self, request: Request, scope: Scope) -> bool:
        """Answer a read if it is plain, and return whether it is."""
        if self._quick is None:
            return False
        answer = self._quick.answer_asgi(scope["method"], scope["raw_path"], scope["headers"])
        if answer is None:
            return False
        send_answer(request, answer, is_last=self._is_ending())
        return True

    async def answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        self._in_flight += 1
        try:
            if "arrived" in scope:
                receive = _once_more(scope["arrived"], receive)
            exchange = Exchange(scope, receive, send, self._is_ending)
            await self._answer_by_app(exchange)
        finally:
            self._in_flight -= 1

    async def _answer_by_app(self, exchange: Exchange) -> None:
        size = head_bytes(exchange.scope)
        if size > self._header_bytes_max:
            await self._refuse(exchange, too_large_head(self._header_bytes_max, size))
            return
        try:
            environ, framing = environ_of(exchange.scope)
            environ[CONNECTION] = exchange
            if framing.is_chunked or framing.size:
                await self._answer_with_body(exchange, environ, framing)
            else:
                await self._answer(exchange, environ)
        except HeadError as ex:
            await self._refuse(exchange, problem_of_head(ex.status, ex.detail))

    async def _answer_with_body(
        self, exchange: Exchange, environ: WSGIEnvironment, framing: Framing
    ) -> None:
        bytes_max = self._service.body_bytes_max(raw_path(environ))
        body = Body(exchange.receive, self._memory, self._patience)
        try:
            if framing.size > bytes_max:
                await self._answer_unread(exchange, environ, body, framing.size)
                return
            try:
                file = await body.read(framing, bytes_max)
            except TooLargeError as ex:
                await self._answer_unread(exchange, environ, body, ex.size)
                return
            except Problem as ex:
                await self._refuse(exchange, ex)
                return
            with contextlib.closing(file):
                environ["wsgi.input"] = file
                environ["CONTENT_LENGTH"] = str(body.size)
                await self._answer(exchange, environ, body.size)
        except BadChunkError:
            detail = "a chunk of the body is malformed, or the body has broken off; send it again"
            await self._refuse(exchange, problem_of_head(400, detail))
        except BrokenOffError:
            await self._break_off(exchange)
        finally:
            body.close()

    async def _answer_unread(
        self, exchange: Exchange, environ: WSGIEnvironment, body: Body, size: int
    ) -> None:
        """Answer a request without its body, then discard the body, so the client reads the answer.

        The app refuses the request because of the size of the body.
        """
        environ["CONTENT_LENGTH"] = str(size)
        exchange.is_last = True
        await self._answer(exchange, environ)
        if "HTTP_EXPECT" not in environ or body.size:
            await self._linger(exchange, body)

    async def _refuse(self, exchange: Exchange, problem: Problem) -> None:
        """Answer a request that the server refuses itself, without the app."""
        exchange.is_last = True
        method = exchange.scope["method"]
        status, headers, body = self._service.refuse(method, problem)
        exchange.start_response(status, [*headers.items(), ("Content-Length", str(len(body)))])
        await exchange.send_whole(b"" if method == "HEAD" else body)
        await self._linger(exchange, Body(exchange.receive, self._memory, self._patience))

    async def _linger(self, exchange: Exchange, body: Body) -> None:
        with contextlib.suppress(BrokenOffError, TimeoutError):
            async with asyncio.timeout(_LINGER_S):
                await body.discard(DISCARD_BYTES_MAX)
                return
        await self._break_off(exchange)

    async def _break_off(self, exchange: Exchange) -> None:
        """Close the connection, so that the client sees that the answer is incomplete."""
        await asyncio.wrap_future(self._closer.close(exchange.scope["client"]))

    async def _answer(
        self, exchange: Exchange, environ: WSGIEnvironment, body_bytes: int = 0
    ) -> None:
        app, waits, start = self._app, self._waits, exchange.start_response
        answer: Iterable[bytes]
        pool = self._pool_for(environ, body_bytes)
        if pool is not None:
            answer = await waits.loop.run_in_executor(pool, app, environ, start)
        else:
            answer = await in_greenlet(app, environ, start)
        if type(answer) is list:
            await exchange.send_whole(answer[0] if len(answer) == 1 else b"".join(answer))
        else:
            pieces = _InThreads(answer, waits) if self._service.is_remote else answer
            await in_greenlet(self._send_pieces, exchange, pieces)

    def _pool_for(self, environ: WSGIEnvironment, body_bytes: int) -> ThreadPoolExecutor | None:
        """Return the pool of threads that answers a request; ``None`` if the loop answers it."""
        if self._service.is_remote:
            return self._waits.pool
        if body_bytes > _LARGE_BODY_BYTES:
            return self._waits.bodies_pool
        return None if self._service.is_short(environ) else self._waits.pool

    def _send_pieces(self, exchange: Exchange, answer: Iterable[bytes]) -> None:
        """Send the pieces of an answer while they are made."""
        wait_for = self._waits.wait_for
        close = getattr(answer, "close", None)
        try:
            wait_for(exchange.begin())
            for piece in answer:
                if exchange.is_gone():
                    return
                if piece:
                    wait_for(exchange.send_piece(piece))
            wait_for(exchange.end())
        except BaseException:
            wait_for(self._break_off(exchange))
            raise
        finally:
            if close is not None:
                close()


def _once_more(message: Message, receive: Receive) -> Receive:
    """Return a function that receives ``message`` first, and then the messages of ``receive``."""
    first = [message]

    def receive_again() -> asyncio.Future[Message]:
        if not first:
            return receive()
        future: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        future.set_result(first.pop())
        return future

    return receive_again


class _InThreads:
    """An answer in pieces. A thread of the pool makes each piece, and is free while it is sent."""

    def __init__(self, answer: Iterable[bytes], waits: LoopWaits) -> None:
        self._close: Callable[[], object] = getattr(answer, "close", bool)
        self._pieces = iter(answer)
        self._waits = waits

    def __iter__(self) -> Iterator[bytes]:
        while (piece := self._waits.work(self._next)) is not None:
            yield piece

    def _next(self) -> bytes | None:
        return next(self._pieces, None)

    def close(self) -> None:
        """Close the answer in the pool, so that no request waits for a slow network."""
        try:
            self._waits.pool.submit(self._close_now)
        except RuntimeError:  # the server has ended its threads
            self._close_now()

    def _close_now(self) -> None:
        try:
            self._close()
        except Exception:
            _logger.exception("an answer could not release what it had read from the store")
