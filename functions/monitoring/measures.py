"""How long requests take, by route, method and kind of status; and how much they carry.

``MeasuredApp`` is the whole of it: it looks at the clock before and after Falcon does its work, and
adds to one row of the shared counters. That costs a request about half a microsecond; Falcon
middleware would cost several times that.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from time import perf_counter_ns
from typing import TYPE_CHECKING, Final, NamedTuple

import falcon

from rundlet_server.functions.access.cors import CorsHeaders
from rundlet_server.functions.access.routing import ROUTE
from rundlet_server.functions.messages.uploads import RECEIVED_BYTES
from rundlet_server.functions.monitoring.audit import AuditTrail
from rundlet_server.functions.monitoring.logs import RequestLog
from rundlet_server.functions.problems import failure_of, forget_failure
from rundlet_server.storage.counting.counters import SUM_WORD, Histogram, SharedCounters
from rundlet_server.storage.counting.rows import WORDS, Name

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment

_MS: Final = 1_000_000
_S: Final = 1_000 * _MS
DURATIONS_NS: Final = Histogram(
    (
        *(25_000, 50_000, 100_000, 250_000, 500_000),
        *(1 * _MS, 2_500_000, 5 * _MS, 10 * _MS, 25 * _MS, 50 * _MS),
        *(100 * _MS, 250 * _MS, 500 * _MS, 1 * _S, 2_500 * _MS, 5 * _S, 10 * _S, 30 * _S),
    )
)
_BYTES_IN_WORD: Final = SUM_WORD + 1
_BYTES_OUT_WORD: Final = SUM_WORD + 2
_BOUNDS_NS: Final = DURATIONS_NS.bounds
_FAILURES: Final = "failed "
_NO_ROUTE: Final = "none OTHER"


class RequestTotals(NamedTuple):
    """What all workers answered on one route, to one method, with one kind of status.

    Attributes:
        route: template as in ``/openapi.json``, or ``none``.
        method: or ``OTHER``.
        status: ``2xx`` and so on.
        words: buckets of ``DURATIONS_NS`` and their sum.
        bytes_in: in bodies of requests, as far as they were read.
        bytes_out: in bodies of answers.
    """

    route: str
    method: str
    status: str
    words: list[int]
    bytes_in: int
    bytes_out: int


class MeasuredApp(falcon.App[falcon.Request, falcon.Response]):
    """A Falcon app whose every answer is measured; the failed and the slow ones are logged."""

    def __init__(
        self,
        counters: SharedCounters,
        log: RequestLog,
        *,
        router: falcon.routing.CompiledRouter,
        middleware: Sequence[AuditTrail | CorsHeaders] = (),
        slow_s: float,
    ) -> None:
        """``slow_s``: a request that takes so long is logged."""
        super().__init__(router=router, media_type="text/plain", middleware=list(middleware))
        self._counters = counters
        self._log = log
        self._slow_ns = round(slow_s * _S)

    def __call__(self, env: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer a request."""
        started_ns = perf_counter_ns()
        # Falcon calls start_response with a status and headers. That call of a dict's own method
        # is the cheapest way to get to know them: a function here would cost three times that.
        said: dict[str, list[tuple[str, str]]] = {}
        body = falcon.App.__call__(self, env, said.__setitem__)  # type: ignore[arg-type] # see above
        status, headers = said.popitem()
        start_response(status, headers)
        elapsed_ns = perf_counter_ns() - started_ns
        try:
            kind = (env[ROUTE], status)
        except KeyError:
            kind = (_NO_ROUTE, status)
        row = self._counters.own.rows[kind]
        row[bisect_left(_BOUNDS_NS, elapsed_ns)] += 1
        row[SUM_WORD] += elapsed_ns
        if RECEIVED_BYTES in env:
            row[_BYTES_IN_WORD] += env[RECEIVED_BYTES]
        if type(body) is not list:
            body = _Passed(body, self._counters, kind)
        elif body:
            row[_BYTES_OUT_WORD] += len(body[0])
        if elapsed_ns >= self._slow_ns or status >= "5":
            self._report(env, kind[0].partition(" ")[0], status, elapsed_ns)
        return body

    def _report(self, env: WSGIEnvironment, route: str, status: str, elapsed_ns: int) -> None:
        failure = failure_of(env)
        if failure is not None:
            self._counters.add(_FAILURES + failure.problem.name)
        self._log.note(env, route, int(status[:3]), elapsed_ns)
        forget_failure(env)


class _Passed:
    """A body that is sent in parts: counts them as they pass."""

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


def request_totals(rows: dict[str, list[int]]) -> list[RequestTotals]:
    """What was measured of requests, out of ``SharedCounters.rows``; in order."""
    sums: dict[tuple[str, str, str], list[int]] = {}
    for name, words in rows.items():
        if name.startswith(("/", _NO_ROUTE)):
            route, method, status = name.split(" ", 2)
            kind = (route, method, f"{status[0]}xx")
            sums[kind] = [a + b for a, b in zip(words, sums.get(kind, [0] * WORDS), strict=True)]
    return [
        RequestTotals(*kind, words, words[_BYTES_IN_WORD], words[_BYTES_OUT_WORD])
        for kind, words in sorted(sums.items())
    ]


def failure_totals(rows: dict[str, list[int]]) -> dict[str, int]:
    """Answers with a status of 500 and above, by the name of their problem."""
    failures = {n.removeprefix(_FAILURES): w[0] for n, w in rows.items() if n.startswith(_FAILURES)}
    return dict(sorted(failures.items()))
