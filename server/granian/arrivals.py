"""Requests whose small bodies are received before they reach the event loop.

One thread of Granian makes the scope of each request and delivers the parts of its body. A request
that is answered there, or by the thread that commits, saves the loop four turns at the interpreter
lock, which cost most beside many reads.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextvars import Context

from rundlet_server.functions.monitoring.measures import AsgiAnswer
from rundlet_server.server.granian.bodies import Message, Patience
from rundlet_server.server.granian.connections import close_connection
from rundlet_server.server.granian.shortcut import Request, Schedule, send_answer


class Arrivals:
    """The requests that wait for their bodies or their answers.

    Attributes:
        in_work: these requests.
    """

    def __init__(self, patience: Patience, is_ending: Callable[[], bool]) -> None:
        self.patience = patience
        self.is_ending = is_ending
        self.in_work: set[Arrival] = set()

    def begin(self, arrival: Arrival) -> bool:
        """Receive the body of a request; return false if its client has disconnected."""
        part = arrival.request.proto.receive()
        if not hasattr(part, "add_done_callback"):
            return False  # every other call says so, too
        self.in_work.add(arrival)
        self.patience.begin(part)
        part.add_done_callback(arrival)
        return True


class Arrival:
    """A request that waits for its body, and then for what answers it."""

    __slots__ = ("_arrivals", "_schedule", "_size", "request")

    def __init__(self, arrivals: Arrivals, request: Request, schedule: Schedule, size: int) -> None:
        """Take a request; ``schedule`` gets it if its body of ``size`` bytes comes in parts."""
        self._arrivals = arrivals
        self._schedule = schedule
        self._size = size
        self.request = request

    def __call__(self, part: asyncio.Future[Message]) -> None:
        """Do what is to be done once the body has come; any thread may call it."""
        arrivals, request = self._arrivals, self.request
        arrivals.patience.end(part)
        if part.cancelled():
            close_connection(request.scope["client"])
            request.done()
            arrivals.in_work.discard(self)
            return
        message = part.result()
        try:
            body = message["body"] if message["type"] == "http.request" else b""
            is_taken = len(body) == self._size and self.take(body)
        except Exception:  # the loop answers it, fails as well, and says so
            is_taken = False
        if not is_taken:
            request.scope["arrived"] = message
            self._schedule(request)
            arrivals.in_work.discard(self)

    def take(self, body: bytes) -> bool:
        """Answer now or later by a body that has come whole; return false to leave it."""
        raise NotImplementedError

    def answer(self, make: Callable[[], AsgiAnswer]) -> None:
        """Send the answer and end the request; any thread may call it."""
        arrivals, request = self._arrivals, self.request
        try:
            send_answer(request, make(), is_last=arrivals.is_ending())
        except Exception as ex:
            request.err(ex)  # logs it
        finally:
            arrivals.in_work.discard(self)


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
