"""Requests whose small bodies are received before they reach the event loop.

One thread of Granian makes the scope of each request and delivers the parts of its body. If that
thread, or the thread that commits, answers a request, the loop need not take the interpreter lock
four times for it. Each time costs most while there are many reads.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable
from concurrent.futures import Future
from contextvars import Context

from rundlet_server.functions.monitoring.quick import AsgiAnswer
from rundlet_server.server.granian.bodies import Message, Patience
from rundlet_server.server.granian.connections import ConnectionCloser
from rundlet_server.server.granian.shortcut import Request, Schedule, send_answer


class Arrivals:
    """Receives the bodies of requests and tracks them until they are answered.

    Attributes:
        in_flight: the requests that wait for a body or an answer.
    """

    def __init__(
        self, patience: Patience, closer: ConnectionCloser, is_ending: Callable[[], bool]
    ) -> None:
        self.patience = patience
        self.closer = closer
        self.is_ending = is_ending
        self.in_flight: set[Arrival] = set()

    def begin(self, arrival: Arrival) -> bool:
        """Receive the body of a request, if it has one; return false to leave it to the loop."""
        if arrival.size == 0:
            return self._is_taken_at_once(arrival)
        part = arrival.request.proto.receive()
        if not hasattr(part, "add_done_callback"):
            return False  # the client has disconnected: later calls in the loop report it, too
        self.in_flight.add(arrival)
        self.patience.begin(part)
        part.add_done_callback(arrival)
        return True

    def _is_taken_at_once(self, arrival: Arrival) -> bool:
        is_taken = False
        self.in_flight.add(arrival)
        try:
            is_taken = arrival.take(b"")
        finally:
            if not is_taken:
                self.in_flight.discard(arrival)
        return is_taken


class Arrival(ABC):
    """A request that waits for its body, and then for its answer.

    Attributes:
        request: a request that no other part of this process has received.
        size: the size of its body in bytes.
    """

    __slots__ = ("_arrivals", "_schedule", "request", "size")

    def __init__(self, arrivals: Arrivals, request: Request, schedule: Schedule, size: int) -> None:
        """Take a request; ``schedule`` passes it to the loop if its body comes in parts."""
        self._arrivals = arrivals
        self._schedule = schedule
        self.request = request
        self.size = size

    def __call__(self, part: asyncio.Future[Message]) -> None:
        """Answer the request once the body has arrived; any thread may call it."""
        arrivals, request = self._arrivals, self.request
        arrivals.patience.end(part)
        if part.cancelled():
            arrivals.closer.close(request.scope["client"]).add_done_callback(self._broken_off)
            return
        message = part.result()
        body = message["body"] if message["type"] == "http.request" else b""
        try:
            is_taken = len(body) == self.size and self.take(body)
        except Exception:  # the loop answers it, fails as well, and reports it
            is_taken = False
        if not is_taken:
            request.scope["arrived"] = message
            self._schedule(request)
            arrivals.in_flight.discard(self)

    @abstractmethod
    def take(self, body: bytes) -> bool:
        """Answer now or later, given the whole body; return false to leave it to the loop."""

    def answer(self, make: Callable[[], AsgiAnswer]) -> None:
        """Send the answer and end the request; any thread may call it."""
        arrivals, request = self._arrivals, self.request
        try:
            send_answer(request, make(), is_last=arrivals.is_ending())
        except Exception as ex:
            request.err(ex)  # logs it
        finally:
            arrivals.in_flight.discard(self)

    def fail(self, error: Exception) -> None:
        """Log an error, answer with it, and end the request; any thread may call it."""
        try:
            self.request.err(error)
        finally:
            self._arrivals.in_flight.discard(self)

    def _broken_off(self, _closed: Future[None]) -> None:
        """End the request, whose connection is closed."""
        self.request.done()
        self._arrivals.in_flight.discard(self)


def take_arrivals(loop: asyncio.AbstractEventLoop) -> None:
    """Call an ``Arrival`` in the thread that delivers its body, instead of in the loop.

    When a part of a body has come, Granian passes the callback to ``call_soon_threadsafe``.
    """
    call_in_loop = loop.call_soon_threadsafe

    def call_soon_threadsafe(
        callback: Callable[..., object], *arguments: object, context: Context | None = None
    ) -> asyncio.Handle | None:
        if isinstance(callback, Arrival):
            callback(*arguments)  # type: ignore[arg-type] # the part
            return None
        return call_in_loop(callback, *arguments, context=context)

    loop.call_soon_threadsafe = call_soon_threadsafe  # type: ignore[method-assign,assignment]
