"""Plain writes, answered without the event loop and the WSGI application; see ``QuickWrite``.

One thread of Granian makes the scope of each request and delivers the parts of its body. It queues
the transaction of a plain write, and the thread that commits answers. The loop would add four turns
at the interpreter lock to each write, which cost most beside many reads.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future
from contextvars import Context

from rundlet_server.functions.monitoring.measures import QuickWrite, QuickWrites
from rundlet_server.server.granian.bodies import Message, Patience
from rundlet_server.server.granian.committer import CommitFor, Outcome
from rundlet_server.server.granian.connections import ConnectionCloser
from rundlet_server.server.granian.shortcut import Request, Schedule, send_answer


class Writes:
    """Answers plain writes that have no body, or one that comes in one piece.

    Attributes:
        in_flight: the writes that have no answer yet.
    """

    def __init__(
        self,
        quick_writes: QuickWrites | None,
        commit_for: CommitFor,
        patience: Patience,
        closer: ConnectionCloser,
        is_ending: Callable[[], bool],
    ) -> None:
        self._quick_writes = quick_writes
        self.commit_for = commit_for
        self.patience = patience
        self.closer = closer
        self.is_ending = is_ending
        self.in_flight: set[InFlightWrite] = set()

    def begin(self, request: Request, schedule: Schedule) -> bool:
        """Answer a write if it is plain, and return whether it is.

        Args:
            request: any other part of this process has yet to see it.
            schedule: leaves it to the loop if its body does not come in one piece.
        """
        scope, quick_writes = request.scope, self._quick_writes
        if quick_writes is None:
            return False
        write = quick_writes(
            scope["method"],
            scope["raw_path"],
            scope["query_string"],
            scope["headers"],
            scope["client"][0],
        )
        if write is None:
            return False
        in_flight = InFlightWrite(self, write, request, schedule)
        return in_flight.wait_for_body() if write.size else in_flight.commit_at_once()


class InFlightWrite:
    """A plain write that waits for its body, if it has one, and then for its commit."""

    __slots__ = ("_request", "_schedule", "_write", "_writes")

    def __init__(
        self, writes: Writes, write: QuickWrite, request: Request, schedule: Schedule
    ) -> None:
        self._writes = writes
        self._write = write
        self._request = request
        self._schedule = schedule

    def wait_for_body(self) -> bool:
        """Receive the body and commit it, and return whether there is one to come."""
        part = self._request.proto.receive()
        if not hasattr(part, "add_done_callback"):
            return False  # the client has disconnected, and every other call says so, too
        self._writes.in_flight.add(self)
        self._writes.patience.begin(part)
        part.add_done_callback(self)
        return True

    def commit_at_once(self) -> bool:
        """Commit a write without a body, and return whether it is in flight."""
        is_queued = False
        self._writes.in_flight.add(self)
        try:
            is_queued = self._is_queued(b"")
        finally:
            if not is_queued:
                self._writes.in_flight.discard(self)
        return is_queued

    def __call__(self, part: asyncio.Future[Message]) -> None:
        """Commit what has come; any thread may call it."""
        writes, request = self._writes, self._request
        writes.patience.end(part)
        if part.cancelled():
            writes.closer.close(request.scope["client"]).add_done_callback(self._broken_off)
            return
        message = part.result()
        value = message["body"] if message["type"] == "http.request" else b""
        try:
            is_queued = len(value) == self._write.size and self._is_queued(value)
        except Exception:  # the loop answers it, fails as well, and says so
            is_queued = False
        if not is_queued:
            request.scope["arrived"] = message
            self._schedule(request)
            writes.in_flight.discard(self)

    def _is_queued(self, value: bytes) -> bool:
        """Queue the transaction, and return whether there is one."""
        txn = self._write.txn(value)
        return txn is not None and self._writes.commit_for(txn, self._answer)

    def _broken_off(self, _closed: Future[None]) -> None:
        """End the request, whose connection is closed."""
        self._request.done()
        self._writes.in_flight.discard(self)

    def _answer(self, outcome: Outcome) -> None:
        """Answer by the outcome, in the thread that commits."""
        request, writes = self._request, self._writes
        try:
            send_answer(request, self._write.answer(outcome), is_last=writes.is_ending())
        except Exception as ex:
            request.err(ex)  # logs it
        finally:
            writes.in_flight.discard(self)


def take_arrivals(loop: asyncio.AbstractEventLoop) -> None:
    """Call a ``InFlightWrite`` in the thread that delivers its body, instead of in the loop.

    When a part of a body has come, Granian passes the callback to ``call_soon_threadsafe``.
    """
    call_in_loop = loop.call_soon_threadsafe

    def call_soon_threadsafe(
        callback: Callable[..., object], *arguments: object, context: Context | None = None
    ) -> asyncio.Handle | None:
        if isinstance(callback, InFlightWrite):
            callback(*arguments)  # type: ignore[arg-type] # the part
            return None
        return call_in_loop(callback, *arguments, context=context)

    loop.call_soon_threadsafe = call_soon_threadsafe  # type: ignore[method-assign,assignment]
