"""The interface between the application and a server with an event loop."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rundlet_server.functions.limits import body_bytes_max_at
from rundlet_server.functions.messages.target import raw_path
from rundlet_server.functions.monitoring.measures import MeasuredApp, Refuse
from rundlet_server.functions.monitoring.quick import QuickAnswers, QuickMgets, QuickWrites
from rundlet_server.functions.route_table import route_at
from rundlet_server.storage.interface import Limits, Store

if TYPE_CHECKING:
    from wsgiref.types import WSGIApplication


@dataclass(frozen=True, slots=True)
class Service:
    """An application, and how to serve it.

    Attributes:
        app: the application.
        is_short: returns whether a request may be answered in an event loop; see ``Rule.is_short``.
        body_bytes_max: returns the largest body in bytes that the application accepts at a path.
        refuse: answers a request that the server refuses before the application sees it.
        store: the store whose commits requests wait for, if there is one.
        quick: answers some reads instead of the application, without waiting.
        quick_writes: answers some writes instead of the application; waits for their commits.
        quick_mgets: answers some mgets instead of the application, given their whole bodies.
        beat: called once a second; records that the event loop runs.
    """

    app: WSGIApplication
    is_short: Callable[[Mapping[str, str]], bool]
    body_bytes_max: Callable[[str], int]
    refuse: Refuse
    store: Store | None = None
    quick: QuickAnswers | None = None
    quick_writes: QuickWrites | None = None
    quick_mgets: QuickMgets | None = None
    beat: Callable[[], object] = bool

    @property
    def is_remote(self) -> bool:
        """Whether every request may wait for a network."""
        return self.store is not None and self.store.info.is_remote


def service_of(
    app: MeasuredApp, store: Store, limits: Limits, beat: Callable[[], object] = bool
) -> Service:
    """Return the service of an application over a store."""

    def body_bytes_max(path: str) -> int:
        return body_bytes_max_at(limits, path)

    if store.info.is_remote:
        return Service(app, is_short, body_bytes_max, app.refuse, store, beat=beat)
    quick = (app.quick, app.quick_writes, app.quick_mgets)
    return Service(app, is_short, body_bytes_max, app.refuse, store, *quick, beat)


def is_short(environ: Mapping[str, str]) -> bool:
    """Return whether a request may be answered in an event loop, by the table of routes."""
    route = route_at(raw_path(environ))
    rule = None if route is None else route.rules.get(environ["REQUEST_METHOD"])
    return rule is None or rule.is_short
