"""Measure requests: how many there are, how long they take, and how many bytes they carry.

``MeasuredApp`` reads the clock before and after Falcon does its work, and adds to one row of the
shared counters. That costs a request about half a microsecond; Falcon middleware would cost several
times that.

``request_counts`` sums requests by route, method and status; ``request_totals`` sums times and
bytes by route and method only. A histogram takes sixteen lines of ``/metrics`` for each
combination, and an operator needs neither the latency of errors nor that of preflights.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from http import HTTPStatus
from time import perf_counter_ns
from typing import TYPE_CHECKING, Final, NamedTuple

import falcon
from falcon.constants import HTTP_METHODS

from rundlet_server.functions.access.cors import CorsHeaders
from rundlet_server.functions.access.routing import ROUTE
from rundlet_server.functions.feeds.waiting import WAITED_NS
from rundlet_server.functions.messages.sending import SENT_BYTES
from rundlet_server.functions.messages.uploads import RECEIVED_BYTES
from rundlet_server.functions.monitoring.audit import AuditTrail
from rundlet_server.functions.monitoring.logs import RequestLog
from rundlet_server.functions.monitoring.quick import (
    Kind,
    QuickAnswers,
    QuickMgets,
    QuickWrites,
)
from rundlet_server.functions.problems import (
    ErrorAnswer,
    ErrorAnswers,
    Problem,
    failure_of,
    forget_failure,
)
from rundlet_server.storage.counting.counters import SUM_WORD, Histogram, SharedCounters
from rundlet_server.storage.counting.rows import WORDS, Name

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment

_MS: Final = 1_000_000
_S: Final = 1_000 * _MS
DURATIONS_NS: Final = Histogram(
    (
        *(50_000, 100_000, 250_000, 500_000, 1 * _MS, 2_500_000, 5 * _MS),
        *(10 * _MS, 25 * _MS, 100 * _MS, 250 * _MS, 1 * _S, 10 * _S),
    )
)
_WAIT_NS: Final = 1 * _MS
"""Only a request that takes this long may have waited."""
_BYTES_IN_WORD: Final = SUM_WORD + 1
_BYTES_OUT_WORD: Final = SUM_WORD + 2
_BOUNDS_NS: Final = DURATIONS_NS.bounds
_FAILURES: Final = "failed "
_NO_ROUTE: Final = "none OTHER"
_WITHOUT_RESPONDER: Final = frozenset({"OPTIONS", "OTHER"})


class RequestCount(NamedTuple):
    """How many requests all workers answered on one route, of one method, with one kind of status.

    Attributes:
        route: the template as in ``/openapi.json``, or ``none``.
        method: a method that the route offers, or ``OTHER``.
        status: ``2xx`` and so on.
        number: since the start of the server.
    """

    route: str
    method: str
    status: str
    number: int


class RequestTotals(NamedTuple):
    """What all workers measured on one route, of one method.

    A HEAD request of a page without a key counts as a GET, because both do the same work.
    Preflights (``OPTIONS``) and methods that a route does not offer count as requests to no route.

    Attributes:
        route: the template as in ``/openapi.json``, or ``none``.
        method: a method that the route offers, or ``OTHER``.
        words: the buckets of ``DURATIONS_NS`` and their sum.
        bytes_in: bytes of request bodies, as far as they were read.
        bytes_out: bytes of answer bodies.
    """

    route: str
    method: str
    words: list[int]
    bytes_in: int
    bytes_out: int


Refuse = Callable[[str, Problem], ErrorAnswer]
"""See ``MeasuredApp.refuse``."""


class MeasuredApp(falcon.App[falcon.Request, falcon.Response]):
    """A Falcon app that measures every answer, and logs those that fail or are slow.

    Attributes:
        quick: answers some reads without Falcon, and counts them with ``count``.
        quick_writes: answers some writes without Falcon, if the server has an event loop.
        quick_mgets: answers some mgets without Falcon, if the server has an event loop.
    """

    def __init__(
        self,
        counters: SharedCounters,
        log: RequestLog,
        errors: ErrorAnswers,
        *,
        router: falcon.routing.CompiledRouter,
        middleware: Sequence[AuditTrail | CorsHeaders] = (),
        slow_s: float,
    ) -> None:
        """Make the app; it logs a request that takes ``slow_s`` or longer."""
        super().__init__(router=router, media_type="text/plain", middleware=list(middleware))
        self._counters = counters
        self._log = log
        self._errors = errors
        errors.install(self)
        self._slow_ns = round(slow_s * _S)
        self.quick: QuickAnswers | None = None
        self.quick_writes: QuickWrites | None = None
        self.quick_mgets: QuickMgets | None = None

    def count(
        self,
        environ: dict[str, object],
        kind: Kind,
        elapsed_ns: int,
        size: int,
        *,
        received_bytes: int = 0,
    ) -> None:
        """Count a request that was answered without Falcon."""
        row = self._counters.own.rows[kind]
        row[bisect_left(_BOUNDS_NS, elapsed_ns)] += 1
        row[SUM_WORD] += elapsed_ns
        row[_BYTES_OUT_WORD] += size
        if received_bytes:
            row[_BYTES_IN_WORD] += received_bytes
        if elapsed_ns >= self._slow_ns or kind[1] >= "5":
            self._report(environ, kind, elapsed_ns)

    def refuse(self, method: str, problem: Problem) -> ErrorAnswer:
        """Answer and count a request that the server refuses before the app can see it.

        Any thread may call it. The server may know no more of the request than its method: so it
        counts as one without a route, and without a duration. Malformed requests are no failures
        of the server, also if their status is 501 or 505; what finds no room (503) is one.
        """
        known = method if method in HTTP_METHODS else "OTHER"
        environ: dict[str, object] = {"REQUEST_METHOD": known}
        answer = self._errors.made(environ, problem)
        kind = (_NO_ROUTE, answer[0])
        row = self._counters.own.rows[kind]
        row[0] += 1
        row[_BYTES_OUT_WORD] += len(answer[2])
        if problem.status == HTTPStatus.SERVICE_UNAVAILABLE:
            self._report(environ, kind, 0)
        return answer

    def answer_quickly(
        self, environ: dict[str, object]
    ) -> tuple[str, list[tuple[str, str]], bytes] | None:
        """Answer a request if ``quick`` can; for servers that call it in the thread of their loop.

        Returns:
            The status, headers and body; ``None`` if the server must call the app in a thread.
        """
        started_ns = perf_counter_ns()
        answer = None if self.quick is None else self.quick.answer(environ)
        if answer is None:
            return None
        kind, headers, body = answer
        self.count(environ, kind, perf_counter_ns() - started_ns, len(body))
        return kind[1], headers, body

    def __call__(self, env: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer a request, and measure it."""
        answer = self.answer_quickly(env)
        if answer is None:
            return self._answer_by_falcon(env, start_response)
        status, headers, value = answer
        start_response(status, headers)
        return [value] if value else []

    def _answer_by_falcon(
        self, env: WSGIEnvironment, start_response: StartResponse
    ) -> Iterable[bytes]:
        started_ns = perf_counter_ns()
        # Falcon calls start_response with a status and headers. A method of a dict is the cheapest
        # way to receive them: a Python function would cost three times as much.
        said: dict[str, list[tuple[str, str]]] = {}
        body = falcon.App.__call__(self, env, said.__setitem__)  # type: ignore[arg-type] # see above
        status, headers = said.popitem()
        start_response(status, headers)
        elapsed_ns = perf_counter_ns() - started_ns
        if elapsed_ns > _WAIT_NS and WAITED_NS in env:
            elapsed_ns = max(0, elapsed_ns - env[WAITED_NS])
        try:
            kind = (env[ROUTE], status)
        except KeyError:
            kind = (_NO_ROUTE, status)
        row = self._counters.own.rows[kind]
        row[bisect_left(_BOUNDS_NS, elapsed_ns)] += 1
        row[SUM_WORD] += elapsed_ns
        if RECEIVED_BYTES in env:
            row[_BYTES_IN_WORD] += env[RECEIVED_BYTES]
        if SENT_BYTES in env:  # a file, which only a server may open
            row[_BYTES_OUT_WORD] += env[SENT_BYTES]
        elif type(body) is not list:
            body = _Passed(body, self._counters, kind)
        elif body:
            row[_BYTES_OUT_WORD] += len(body[0])
        if elapsed_ns >= self._slow_ns or status >= "5":
            self._report(env, kind, elapsed_ns)
        return body

    def _report(self, env: dict[str, object], kind: Kind, elapsed_ns: int) -> None:
        route, status = kind[0].partition(" ")[0], kind[1]
        failure = failure_of(env)
        if failure is not None:
            self._counters.add(_FAILURES + failure.problem.name)
        self._log.note(env, route, int(status[:3]), elapsed_ns)
        forget_failure(env)


class _Passed:
    """A body that is sent in parts; counts the bytes of each as it is sent."""

    def __init__(self, body: Iterable[bytes], counters: SharedCounters, kind: Name) -> None:
        self._body = body
        self._counters = counters
        self._kind = kind

    def __iter__(self) -> Iterator[bytes]:
        for part in self._body:
            self._counters.own.rows[self._kind][_BYTES_OUT_WORD] += len(part)
            yield part

    def close(self) -> None:
        close = getattr(self._body, "close", None)
        if close is not None:
            close()


def request_counts(rows: dict[str, list[int]]) -> list[RequestCount]:
    """Return the number of requests out of ``SharedCounters.rows``, sorted."""
    numbers: dict[tuple[str, str, str], int] = {}
    for route, method, status, words in _request_rows(rows):
        kind = (route, method, f"{status[0]}xx")
        numbers[kind] = numbers.get(kind, 0) + sum(words[:SUM_WORD])
    return [RequestCount(*kind, number) for kind, number in sorted(numbers.items())]


def request_totals(rows: dict[str, list[int]]) -> list[RequestTotals]:
    """Return the times and bytes of requests out of ``SharedCounters.rows``, sorted."""
    sums: dict[tuple[str, str], list[int]] = {}
    for route, method, _, words in _request_rows(rows):
        kind = _timed_as(route, method)
        sums[kind] = [a + b for a, b in zip(words, sums.get(kind, [0] * WORDS), strict=True)]
    return [
        RequestTotals(*kind, words, words[_BYTES_IN_WORD], words[_BYTES_OUT_WORD])
        for kind, words in sorted(sums.items())
    ]


def _request_rows(rows: dict[str, list[int]]) -> Iterator[tuple[str, str, str, list[int]]]:
    """Yield the route, method, status and words of each row that counts requests."""
    for name, words in rows.items():
        if name.startswith(("/", _NO_ROUTE)):
            route, method, status = name.split(" ", 2)
            yield route, method, status, words


def _timed_as(route: str, method: str) -> tuple[str, str]:
    """Return the labels of the histogram in which a request is timed."""
    if method in _WITHOUT_RESPONDER:
        return "none", "OTHER"
    if method == "HEAD" and "{" not in route:
        return route, "GET"
    return route, method


def failure_totals(rows: dict[str, list[int]]) -> dict[str, int]:
    """Return the number of answers with a status of 500 or above, by the name of the problem."""
    failures = {n.removeprefix(_FAILURES): w[0] for n, w in rows.items() if n.startswith(_FAILURES)}
    return dict(sorted(failures.items()))
