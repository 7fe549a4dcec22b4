"""Plain mgets, answered without the event loop and without the WSGI application.

The thread that receives the body answers; see ``QuickMget``.
"""

from __future__ import annotations

from rundlet_server.functions.monitoring.quick import QuickMget, QuickMgets
from rundlet_server.server.granian.arrivals import Arrival, Arrivals
from rundlet_server.server.granian.shortcut import Request, Schedule


class Mgets:
    """Answers plain mgets whose bodies come in one piece."""

    def __init__(self, quick_mgets: QuickMgets | None, arrivals: Arrivals) -> None:
        self._quick_mgets = quick_mgets
        self._arrivals = arrivals

    def begin(self, request: Request, schedule: Schedule) -> bool:
        """Begin to answer an mget if it may be plain; return whether it may be."""
        scope, quick_mgets = request.scope, self._quick_mgets
        if quick_mgets is None or scope["query_string"]:
            return False
        mget = quick_mgets(scope["raw_path"], scope["headers"])
        if mget is None:
            return False
        return self._arrivals.begin(InFlightMget(self._arrivals, mget, request, schedule))


class InFlightMget(Arrival):
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
