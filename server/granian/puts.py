"""Plain PUTs, answered without the event loop and without the WSGI application; see ``QuickPut``.

The thread that receives the body queues the transaction, and the thread that commits answers.
"""

from __future__ import annotations

from rundlet_server.functions.monitoring.measures import QuickPut, QuickPuts
from rundlet_server.server.granian.arrivals import Arrival, Arrivals
from rundlet_server.server.granian.committer import CommitFor, Outcome
from rundlet_server.server.granian.shortcut import Request, Schedule


class Puts:
    """Answers plain PUTs whose bodies come in one piece."""

    def __init__(self, begin: QuickPuts | None, commit_for: CommitFor, arrivals: Arrivals) -> None:
        self._begin = begin
        self.commit_for = commit_for
        self.arrivals = arrivals

    def begin(self, request: Request, schedule: Schedule) -> bool:
        """Answer a PUT if it is plain, and return whether it is.

        Args:
            request: any other part of this process has yet to see it.
            schedule: leaves it to the loop if its body does not come in one piece.
        """
        scope, begin = request.scope, self._begin
        if begin is None:
            return False
        put = begin(scope["raw_path"], scope["query_string"], scope["headers"])
        return put is not None and self.arrivals.begin(PutInWork(self, put, request, schedule))


class PutInWork(Arrival):
    """A plain PUT that waits for its body, and then for its commit."""

    __slots__ = ("_put", "_puts")

    def __init__(self, puts: Puts, put: QuickPut, request: Request, schedule: Schedule) -> None:
        super().__init__(puts.arrivals, request, schedule, put.size)
        self._puts = puts
        self._put = put

    def take(self, body: bytes) -> bool:
        """See ``Arrival``."""
        txn = self._put.txn(body)
        return txn is not None and self._puts.commit_for(txn, self._answer)

    def _answer(self, outcome: Outcome) -> None:
        """Answer by the outcome, in the thread that commits."""
        self.answer(lambda: self._put.answer(outcome))
