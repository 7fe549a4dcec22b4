"""Plain mgets, answered without the event loop and without the WSGI application.

The thread that receives the body answers; see ``QuickMget``.
"""

from __future__ import annotations

from rundlet_server.functions.monitoring.measures import QuickMget, QuickMgets
from rundlet_server.server.granian.arrivals import Arrival, Arrivals
from rundlet_server.server.granian.shortcut import Request, Schedule


class Mgets:
    """Answers plain mgets whose bodies come in one piece."""

    def __init__(self, begin: QuickMgets | None, arrivals: Arrivals) -> None:
        self._begin = begin
        self._arrivals = arrivals

    def begin(self, request: Request, schedule: Schedule) -> bool:
        """Answer an mget if it is plain, and return whether it may be; see ``Puts.begin``."""
        scope, begin = request.scope, self._begin
        if begin is None or scope["query_string"]:
            return False
        mget = begin(scope["raw_path"], scope["headers"])
        if mget is None:
            return False
        return self._arrivals.begin(_MgetInWork(self._arrivals, mget, request, schedule))


class _MgetInWork(Arrival):
    """A plain mget that waits for its body."""

    __slots__ = ("_mget",)

    def __init__(
        self, arrivals: Arrivals, mget: QuickMget, request: Request, schedule: Schedule
    ) -> None:
        super().__init__(arrivals, request, schedule, mget.size)
        self._mget = mget

    def take(self, body: bytes) -> bool:
        """See ``Arrival``."""
        answer = self._mget.answer(body)
        if answer is None:
            return False
        self.answer(lambda: answer)
        return True
