"""Plain writes, answered without the event loop and the WSGI application; see ``QuickWrite``.

The thread that receives the body queues the transaction, and the thread that commits answers.
"""

from __future__ import annotations

from rundlet_server.functions.monitoring.measures import QuickWrite, QuickWrites
from rundlet_server.server.granian.arrivals import Arrival, Arrivals
from rundlet_server.server.granian.committer import CommitFor, Outcome
from rundlet_server.server.granian.shortcut import Request, Schedule


class Writes:
    """Answers plain writes that have no body, or one that comes in one piece."""

    def __init__(
        self, quick_writes: QuickWrites | None, commit_for: CommitFor, arrivals: Arrivals
    ) -> None:
        self._quick_writes = quick_writes
        self.commit_for = commit_for
        self.arrivals = arrivals

    def begin(self, request: Request, schedule: Schedule) -> bool:
        """Begin to answer a write if it is plain; return whether it is.

        Args:
            request: a request that no other part of this process has received.
            schedule: passes it to the loop if its body does not come in one piece.
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
        return self.arrivals.begin(InFlightWrite(self, write, request, schedule))


class InFlightWrite(Arrival):
    """A plain write that waits for its body, if it has one, and then for its commit."""

    __slots__ = ("_write", "_writes")

    def __init__(
        self, writes: Writes, write: QuickWrite, request: Request, schedule: Schedule
    ) -> None:
        super().__init__(writes.arrivals, request, schedule, write.size)
        self._writes = writes
        self._write = write

    def take(self, body: bytes) -> bool:
        """See ``Arrival``."""
        txn = self._write.txn(body)
        return txn is not None and self._writes.commit_for(txn, self._answer)

    def _answer(self, outcome: Outcome) -> None:
        """Answer with the outcome, in the thread that commits."""
        self.answer(lambda: self._write.answer(outcome))
