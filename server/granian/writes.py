"""Plain writes, answered without the event loop and the WSGI application; see ``QuickWrite``.

The thread that receives the body queues the transaction, and the thread that commits answers. If
there is an audit trail, the thread that records (``recorder``) writes the lines of a group of
commits at once, and then answers.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

from rundlet_server.functions.monitoring.quick import AsgiAnswer, QuickWrite, QuickWrites
from rundlet_server.server.granian.arrivals import Arrival, Arrivals
from rundlet_server.server.granian.committer import CommitFor, Outcome
from rundlet_server.server.granian.shortcut import Request, Schedule

_Unrecorded = tuple[str, Callable[[], None]]
"""A line of the audit trail, and a function that answers the request."""


class Writes:
    """Answers plain writes that have no body, or one that comes in one piece."""

    def __init__(
        self,
        quick_writes: QuickWrites | None,
        commit_for: CommitFor,
        record_later: Callable[[Callable[[], None]], None],
        arrivals: Arrivals,
    ) -> None:
        """``record_later`` calls a function in the thread that records."""
        self._quick_writes = quick_writes
        self.commit_for = commit_for
        self._record_later = record_later
        self.arrivals = arrivals
        self.unrecorded: list[_Unrecorded] = []

    def begin(self, request: Request, schedule: Schedule) -> bool:
        """Begin to answer a write if it is plain; return whether it is.

        Args:
            request: a request that no other part of this process has received.
            schedule: passes it to the loop if its body does not come in one piece.
        """
        scope, quick_writes = request.scope, self._quick_writes
        if quick_writes is None:
            return False
        write = quick_writes.begin(
            scope["method"],
            scope["raw_path"],
            scope["query_string"],
            scope["headers"],
            scope["client"][0],
        )
        if write is None:
            return False
        return self.arrivals.begin(InFlightWrite(self, write, request, schedule))

    def record_group(self) -> None:
        """Record and answer the writes of a group; the thread that commits calls it.

        A call for each write would wake the other thread while this one works on the group: the
        two would compete for the interpreter, which halved the throughput of durable writes.
        """
        group, self.unrecorded = self.unrecorded, []
        if group:
            self._record_later(functools.partial(self._record, group))

    def _record(self, group: list[_Unrecorded]) -> None:
        assert self._quick_writes is not None, "it made the lines"
        try:
            self._quick_writes.record([line for line, _ in group])
        finally:
            for _, answer in group:
                answer()


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
        """Answer with the outcome, or keep the answer until it is recorded."""
        try:
            made = self._write.answer(outcome)
        except Exception as ex:
            self.fail(ex)
            return
        answer = functools.partial(self.answer, functools.partial(self._counted, made))
        line = self._write.line
        if line is None:
            answer()
        else:
            self._writes.unrecorded.append((line, answer))

    def _counted(self, answer: AsgiAnswer) -> AsgiAnswer:
        self._write.count()
        return answer
