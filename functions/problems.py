"""Make every error answer in one place, as RFC 9457 problem details.

Handlers raise ``Problem`` or let a ``StoreError`` pass. ``ErrorAnswers`` turns these two, Falcon's
own errors and unexpected exceptions into ``application/problem+json``.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from http import HTTPStatus
from typing import Final, NamedTuple

import falcon

from rundlet_server.functions.limits import LimitAdvice
from rundlet_server.functions.request_ids import RequestIds
from rundlet_server.functions.route_table import OPENAPI
from rundlet_server.functions.units import rfc3339
from rundlet_server.storage.errors import (
    BackupGone,
    BackupNotReady,
    Compacted,
    Conflict,
    Damaged,
    DiskFull,
    IdempotencyKeyReused,
    InvalidKey,
    InvalidOperation,
    InvalidRequest,
    LimitExceeded,
    NotSupported,
    OutcomeUnknown,
    ReadOnly,
    StoreError,
    Unavailable,
    UnknownFormat,
)

PROBLEM_TYPE = "application/problem+json"
RETRY_LATER = {"Retry-After": "1"}

_FAILURE: Final = "rundlet.failure"
_JSON: Final = json.JSONEncoder(separators=(",", ":"))
_TITLES: Final = {
    413: "Content Too Large",
    414: "URI Too Long",
    416: "Range Not Satisfiable",
    422: "Unprocessable Content",
}

Member = str | int | Sequence[Mapping[str, object]] | Sequence[str]


class Problem(Exception):
    """An answer that is not a success.

    Attributes:
        status: the HTTP status code.
        name: the last part of the problem's type, ``/problems/NAME``.
        detail: one sentence: what is wrong and what to do.
        members: further members of the body.
        headers: further headers of the answer.
        over: the name of an exceeded limit; the answer then adds advice about it.
    """

    def __init__(
        self,
        status: int,
        name: str,
        detail: str,
        members: Mapping[str, Member] | None = None,
        *,
        headers: Mapping[str, str] | None = None,
        over: str | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.name = name
        self.detail = detail
        self.members = members or {}
        self.headers = headers or {}
        self.over = over

    def advised(self, advice: LimitAdvice) -> Problem:
        """Return the problem with advice about the exceeded limit, if there is one."""
        if self.over is None:
            return self
        detail = f"{self.detail}; {advice.on(self.over)}"
        return Problem(self.status, self.name, detail, self.members, headers=self.headers)


class Failure(NamedTuple):
    """Why a request failed: the problem sent to the client, and the exception."""

    problem: Problem
    cause: Exception


ErrorAnswer = tuple[str, dict[str, str], bytes]
"""The status, headers and body of an answer that is not a success."""


class ErrorAnswers:
    """Makes answers for exceptions; the log has the same request id if it has more details."""

    def __init__(
        self,
        ids: RequestIds,
        discard_body: Callable[[falcon.Request], None],
        advice: LimitAdvice,
    ) -> None:
        """``discard_body`` reads and drops the rest of a request's body."""
        self._ids = ids
        self._discard_body = discard_body
        self._advice = advice

    def install(self, app: falcon.App[falcon.Request, falcon.Response]) -> None:
        """Make ``app`` answer every exception with a problem."""
        app.add_error_handler(Exception, self.answer)
        app.add_error_handler(falcon.HTTPError, self.answer)

    def answer(
        self,
        req: falcon.Request,
        resp: falcon.Response,
        ex: Exception,
        params: dict[str, object],  # noqa: ARG002 - Falcon passes the path's fields by position
    ) -> None:
        """Fill in the response for an exception of any kind."""
        status, headers, body = self.made(req.env, ex)
        self._discard_body(req)
        resp.status = status
        resp.text = None
        resp.data = body
        resp.set_headers(headers)

    def made(self, environ: dict[str, object], ex: Exception) -> ErrorAnswer:
        """Return the status, headers and body for an exception of any kind."""
        request_id = self._ids.of(environ)
        problem = problem_of(ex).advised(self._advice)
        if problem.status >= 500:
            environ[_FAILURE] = Failure(problem, ex)
        status = f"{problem.status} {title_of(problem.status)}"
        return status, headers_of(problem, request_id), encode_problem(problem, request_id)


@cache
def title_of(status: int) -> str:
    """Return the reason phrase of a status after RFC 9110; Python's depend on its version."""
    return _TITLES.get(status) or HTTPStatus(status).phrase


def failure_of(environ: Mapping[str, object]) -> Failure | None:
    """Return why the server failed a request; for the log and the metrics."""
    failure = environ.get(_FAILURE)
    return failure if isinstance(failure, Failure) else None


def forget_failure(environ: dict[str, object]) -> None:
    """Release the failure of a request, once it is logged.

    The traceback of the failure refers to the request, and the request to the failure. Until the
    garbage collector runs, this cycle would keep open what the store was reading, such as a file
    that compaction has removed since.
    """
    environ.pop(_FAILURE, None)


def problem_of(ex: Exception) -> Problem:
    """Return the problem that a client gets for an exception."""
    match ex:
        case Problem():
            return ex
        case falcon.HTTPError():
            return _of_falcon(ex)
        case InvalidRequest():
            return _of_request(ex)
        case ReadOnly() | Unavailable() | OutcomeUnknown():
            return _of_write(ex)
        case StoreError():
            return _of_store(ex)
        case _:
            detail = "an unexpected error occurred; look up the request id in the server's log"
            return Problem(500, "internal", detail)


def _of_request(ex: InvalidRequest) -> Problem:
    match ex:
        case LimitExceeded(what="key_bytes_max"):
            return key_too_long(ex.limit, ex.got)
        case LimitExceeded():
            return too_large(ex.what, ex.limit, ex.got)
        case InvalidOperation():
            return Problem(422, "bad-operation", str(ex), {"index": ex.index})
        case InvalidKey():
            return Problem(400, "bad-key", str(ex))
        case IdempotencyKeyReused():
            detail = (
                "this Idempotency-Key was sent before with another request, whose outcome is"
                " remembered; send each request that differs with a key of its own"
            )
            return Problem(422, "idempotency-key-reused", detail)
        case _:
            return Problem(400, "bad-request", str(ex))


def _of_write(ex: ReadOnly | Unavailable | OutcomeUnknown) -> Problem:
    match ex:
        case ReadOnly():
            detail = "this server is read-only; send writes to a server that accepts them"
            return Problem(403, "read-only", detail)
        case DiskFull():
            detail = (
                "the server's disk is full and nothing was changed; free space and send it again"
            )
            return Problem(507, "disk-full", detail, headers=RETRY_LATER)
        case BackupNotReady():
            return Problem(503, "backup-not-ready", str(ex), headers=RETRY_LATER)
        case Unavailable():
            detail = f"nothing was changed: {ex}; send the request again later"
            return Problem(503, "unavailable", detail, headers=RETRY_LATER)
        case OutcomeUnknown():
            detail = (
                "the write may have been applied or not; read the keys before you send it again"
            )
            return Problem(504, "outcome-unknown", detail)


def _of_store(ex: StoreError) -> Problem:
    match ex:
        case Conflict():
            failed = [{"index": f.index, "key": f.key, "revision": f.revision} for f in ex.failed]
            detail = (
                "conditions in 'if' did not hold and there is no 'else', so nothing was changed;"
                " read the keys in 'failed' and decide again"
            )
            return Problem(409, "txn-conflict", detail, {"failed": failed})
        case Compacted():
            oldest: dict[str, Member] = {"oldest_revision": ex.oldest_revision}
            if ex.oldest_time_us:
                oldest["oldest_time"] = rfc3339(ex.oldest_time_us)
            return Problem(410, "compacted", str(ex), oldest)
        case BackupGone():
            return Problem(410, "backup-gone", f"{ex}; take another one")
        case Damaged():
            detail = f"{ex}; run 'rundlet verify' on the server"
            return Problem(500, "damaged", detail, {"file": ex.path.name, "offset": ex.offset})
        case NotSupported():
            members: dict[str, Member] = {"backend": ex.backend, "feature": ex.feature}
            return Problem(501, "not-supported", str(ex), members)
        case UnknownFormat():
            return Problem(500, "unknown-format", str(ex))
        case _:
            return Problem(500, "store-error", str(ex))


def too_large(what: str, limit: int, got: int) -> Problem:
    """Return 413 for an exceeded limit; ``what`` is its name in ``/v1``."""
    members: dict[str, Member] = {"limit": limit, "got": got}
    return Problem(413, "too-large", f"{what} is {limit}, got {got}", members, over=what)


def key_too_long(limit: int, got: int) -> Problem:
    """Return 414 for a key that has more bytes, as UTF-8, than the limit."""
    members: dict[str, Member] = {"limit": limit, "got": got}
    detail = f"key_bytes_max is {limit}, got {got}"
    return Problem(414, "key-too-long", detail, members, over="key_bytes_max")


def _of_falcon(ex: falcon.HTTPError) -> Problem:
    headers = dict(ex.headers or {})
    status, title = ex.status_code, title_of(ex.status_code)
    if status == HTTPStatus.NOT_FOUND:
        detail = f"there is no such route; see {OPENAPI.path} for all routes"
        return Problem(404, "no-such-route", detail, headers=headers)
    if status == HTTPStatus.METHOD_NOT_ALLOWED:
        detail = f"this route does not answer this method; send one of {headers.get('Allow', '')}"
        return Problem(405, "method-not-allowed", detail, headers=headers)
    name = title.lower().replace(" ", "-")
    return Problem(status, name, ex.description or ex.title or title, headers=headers)


def headers_of(problem: Problem, request_id: str) -> dict[str, str]:
    """Return the headers of the answer."""
    return {
        "Content-Type": PROBLEM_TYPE,
        "Request-Id": request_id,
        "Cache-Control": "no-store",
        "X-Content-Type-Options": "nosniff",
        **problem.headers,
    }


def encode_problem(problem: Problem, request_id: str) -> bytes:
    """Encode the body of the answer."""
    body = {
        "type": f"/problems/{problem.name}",
        "title": title_of(problem.status),
        "status": int(problem.status),
        "detail": problem.detail,
        "request_id": request_id,
        **problem.members,
    }
    # ASCII: a detail may quote text that has no UTF-8 form.
    return _JSON.encode(body).encode()
