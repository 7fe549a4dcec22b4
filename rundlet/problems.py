"""Turns an answer that is not a success into an error."""

from __future__ import annotations

import json

import httpx

from rundlet.errors import (
    BackupGone,
    BadRequest,
    Compacted,
    Conflict,
    Damaged,
    FailedCondition,
    Forbidden,
    OutcomeUnknown,
    PreconditionFailed,
    ReadOnly,
    RundletError,
    ServerError,
    TooLarge,
    Unauthorized,
    Unavailable,
)
from rundlet.schemes import scheme_advice_of_answer

# A proxy sends these if it has lost the server; the outcome of a write is then unknown.
_GATEWAY_STATUSES = frozenset({502, 504})
_UNAVAILABLE_STATUSES = frozenset({429, 503, 507})
_LARGE_STATUSES = frozenset({413, 414})
_FALLBACK_RETRY_AFTER_S = 1.0


def error_of(response: httpx.Response, *, is_write: bool) -> RundletError:
    """Return the error for an answer, with the server's message if there is one."""
    members = _problem_members(response)
    error = _typed_error(response, members, is_write=is_write)
    error.status = response.status_code
    error.problem = problem_name(response)
    error.request_id = response.headers.get("Request-Id", "")
    error.line = _number(members, "line") or 0
    error.imported = _number(members, "imported") or 0
    return error


def is_problem(response: httpx.Response) -> bool:
    """Return whether an answer has the content type of the server's errors."""
    content_type: str = response.headers.get("Content-Type", "")
    return content_type.startswith("application/problem+json")


def problem_name(response: httpx.Response) -> str:
    """Return ``not-found`` for ``/problems/not-found``; empty if it is not problem+json."""
    problem_type = _problem_members(response).get("type")
    return problem_type.rpartition("/")[2] if isinstance(problem_type, str) else ""


def retry_after_s(response: httpx.Response) -> float | None:
    """Return the seconds of ``Retry-After``, 1 if it is a date; ``None`` without the header."""
    header = response.headers.get("Retry-After")
    if header is None:
        return None
    return float(header) if header.strip().isdecimal() else _FALLBACK_RETRY_AFTER_S


def _typed_error(
    response: httpx.Response, members: dict[str, object], *, is_write: bool
) -> RundletError:
    status = response.status_code
    message = _message(response, members)
    if status == 412:
        return PreconditionFailed(message, revision=_number(members, "revision") or 0)
    if status == 409:
        return Conflict(message, failed=_failed_conditions(members))
    if status == 410 and problem_name(response) == "backup-gone":
        return BackupGone(message)
    if status == 410:
        return Compacted(message, oldest_revision=_number(members, "oldest_revision") or 0)
    if status in _UNAVAILABLE_STATUSES:
        return Unavailable(message, retry_after_s=retry_after_s(response))
    if status in _GATEWAY_STATUSES:
        return OutcomeUnknown(message) if is_write else Unavailable(message)
    return _access_or_request_error(response, members, message)


def _access_or_request_error(
    response: httpx.Response, members: dict[str, object], message: str
) -> RundletError:
    status = response.status_code
    if status == 401:
        challenge = response.headers.get("WWW-Authenticate", "")
        return Unauthorized(message, is_token_refused="error=" in challenge)  # RFC 6750, section 3
    if status == 403:
        is_read_only = problem_name(response) == "read-only"
        return ReadOnly(message) if is_read_only else Forbidden(message)
    if status in _LARGE_STATUSES:
        return TooLarge(message, limit=_number(members, "limit"), got=_number(members, "got"))
    if 400 <= status < 500 and status != 404:
        return BadRequest(message)
    return Damaged(message) if problem_name(response) == "damaged" else ServerError(message)


def _message(response: httpx.Response, members: dict[str, object]) -> str:
    detail = members.get("detail") or members.get("title")
    if isinstance(detail, str):
        return detail
    if is_problem(response):  # of HEAD, without a body
        return f"the server answered {response.status_code} {response.reason_phrase}"
    url = str(response.request.url.copy_with(raw_path=b"/")).rstrip("/")
    advice = scheme_advice_of_answer(url, response.status_code, response.text)
    return advice or (
        f"{response.request.url.copy_with(query=None)} answered {response.status_code} "
        f"{response.reason_phrase}; is this the address of a Rundlet server?"
    )


def _problem_members(response: httpx.Response) -> dict[str, object]:
    if not is_problem(response):
        return {}
    try:
        members = json.loads(response.content)
    except ValueError:
        return {}
    return members if isinstance(members, dict) else {}


def _number(members: dict[str, object], name: str) -> int | None:
    member = members.get(name)
    return member if isinstance(member, int) else None


def _failed_conditions(members: dict[str, object]) -> tuple[FailedCondition, ...]:
    rows = members.get("failed")
    if not isinstance(rows, list):
        return ()
    return tuple(
        FailedCondition(
            index=_number(row, "index") or 0,
            key=str(row.get("key", "")),
            revision=_number(row, "revision") or 0,
        )
        for row in rows
        if isinstance(row, dict)
    )
