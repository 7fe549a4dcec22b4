"""Plain PUTs, answered without the event loop and without the WSGI application; see ``QuickPut``.

One thread of Granian makes the scope of each request and delivers the parts of its body. It queues
the transaction of a plain PUT, and the thread that commits answers. The loop would add four turns
at the interpreter lock to each PUT, which cost most beside many reads.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future
from contextvars import Context

from rundlet_server.functions.monitoring.measures import QuickPut, QuickPuts
from rundlet_server.server.granian.bodies import Message, Patience
from rundlet_server.server.granian.committer import CommitFor, Outcome
from rundlet_server.server.granian.connections import ConnectionCloser
from rundlet_server.server.granian.shortcut import Request, Schedule, send_answer


class Puts:
    """Answers plain PUTs whose bodies come in one piece.

    Attributes:
        in_flight: the PUTs that have no answer yet.
    """

    def __init__(
        self,
        quick_puts: QuickPuts | None,
        commit_for: CommitFor,
        patience: Patience,
        closer: ConnectionCloser,
        is_ending: Callable[[], bool],
    ) -> None:
        self._quick_puts = quick_puts
        self.commit_for = commit_for
        self.patience = patience
        self.closer = closer
        self.is_ending = is_ending
        self.in_flight: set[InFlightPut] = set()

    def begin(self, request: Request, schedule: Schedule) -> bool:
        """Answer a PUT if it is plain, and return whether it is.

        Args:
            request: any other part of this process has yet to see it.
            schedule: leaves it to the loop if its body does not come in one piece.
        """
        scope, quick_puts = request.scope, self._quick_puts
        if quick_puts is None:
            return False
        put = quick_puts(scope["raw_path"], scope["query_string"], scope["headers"])
        if put is None:
            return False
        part = request.proto.receive()
        if not hasattr(part, "add_done_callback"):
            return False  # the client has disconnected, and every other call says so, too
        in_flight = InFlightPut(self, put, request, schedule)
        self.in_flight.add(in_flight)
        self.patience.begin(part)
        part.add_done_callback(in_flight)
        return True


class InFlightPut:
    """A plain PUT that waits for its body, and then for its commit."""

    __slots__ = ("_put", "_puts", "_request", "_schedule")

    def __init__(self, puts: Puts, put: QuickPut, request: Request, schedule: Schedule) -> None:
        self._puts = puts
        self._put = put
        self._request = request
        self._schedule = schedule

    def __call__(self, part: asyncio.Future[Message]) -> None:
        """Commit what has come; any thread may call it."""
        puts, request = self._puts, self._request
        puts.patience.end(part)
        if part.cancelled():
            puts.closer.close(request.scope["client"]).add_done_callback(self._broken_off)
            return
        message = part.result()
        try:
            is_queued = self._is_queued(message)
        except Exception:  # the loop answers it, fails as well, and says so
            is_queued = False
        if not is_queued:
            request.scope["arrived"] = message
            self._schedule(request)
            puts.in_flight.discard(self)

    def _is_queued(self, message: Message) -> bool:
        value = message["body"] if message["type"] == "http.request" else b""
        txn = self._put.txn(value) if len(value) == self._put.size else None
        return txn is not None and self._puts.commit_for(txn, self._answer)

    def _broken_off(self, _closed: Future[None]) -> None:
        """End the request, whose connection is closed."""
        self._request.done()
        self._puts.in_flight.discard(self)

    def _answer(self, outcome: Outcome) -> None:
        """Answer by the outcome, in the thread that commits."""
        request, puts = self._request, self._puts
        try:
            send_answer(request, self._put.answer(outcome), is_last=puts.is_ending())
        except Exception as ex:
            request.err(ex)  # logs it
        finally:
            puts.in_flight.discard(self)


def take_arrivals(loop: asyncio.AbstractEventLoop) -> None:
    """Call a ``InFlightPut`` in the thread that delivers its body, instead of in the loop.

    When a part of a body has come, Granian passes the callback to ``call_soon_threadsafe``.
    """
    call_in_loop = loop.call_soon_threadsafe

    def call_soon_threadsafe(
        callback: Callable[..., object], *arguments: object, context: Context | None = None
    ) -> asyncio.Handle | None:
        if isinstance(callback, InFlightPut):
            callback(*arguments)  # type: ignore[arg-type] # the part
            return None
        return call_in_loop(callback, *arguments, context=context)

    loop.call_soon_threadsafe = call_soon_threadsafe  # type: ignore[method-assign,assignment]
