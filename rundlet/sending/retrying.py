"""Decides, without I/O, which requests may be sent again.

After each failure, a request is sent again or ends in an error:

=============================================  ==================  =======================
failure                                        a read              a write
=============================================  ==================  =======================
no connection: nothing was sent                again               again
429 or 503 with Retry-After: not applied       again, after that   again, after that
broken connection or time-out after sending    again               ``OutcomeUnknown``
502 or 504, from a proxy or the server         again               ``OutcomeUnknown``
any other answer                               final               final
=============================================  ==================  =======================

A write with an idempotency key is sent again even if its outcome is unknown, because the server
applies it only once. If all attempts fail after one whose answer was lost, the outcome is unknown.
"""

from __future__ import annotations

import random
from collections.abc import Generator
from typing import Final

import httpx

from rundlet.calls.call import Pause, Request
from rundlet.errors import ConnectionFailed, OutcomeUnknown, Unavailable
from rundlet.problems import error_of, is_problem, problem_name, retry_after_s

IDEMPOTENCY_KEY: Final = "Idempotency-Key"
_BACKOFF_FIRST_S: Final = 0.05
_BACKOFF_MAX_S: Final = 5.0
_RETRY_AFTER_MAX_S: Final = 60.0
_REFUSED_STATUSES: Final = frozenset({429, 503})
_GATEWAY_STATUSES: Final = frozenset({502, 504})


def attempts(
    request: Request, retries: int
) -> Generator[Request | Pause, httpx.Response, httpx.Response]:
    """Yield a request until its answer is final, with pauses; return the answer.

    The answer is a success, or means that the key does not exist. If there is no answer, the caller
    throws an error in: ``ConnectionFailed`` if another attempt is safe.

    Raises:
        RundletError: see the tree in ``rundlet.errors``.
    """
    lost: OutcomeUnknown | None = None
    for attempt in range(retries + 1):
        is_last = attempt == retries
        wait_s: float | None = backoff_s(attempt)
        try:
            response = yield request
        except ConnectionFailed as ex:
            if is_last:
                raise (lost or ex) from ex
        except OutcomeUnknown as ex:
            if is_last or not _has_key(request):
                raise
            lost = ex
        else:
            wait_s = None if is_last else _wait_before_retry_s(request, response, attempt)
            if wait_s is None:
                return _final(request, response, lost)
        yield Pause(wait_s or 0)
    raise AssertionError("the last attempt returns or raises")


def may_repeat(request: Request) -> bool:
    """Return whether a request changes nothing if it is applied for a second time."""
    return not request.is_write


def _has_key(request: Request) -> bool:
    """Return whether the server answers a second request without applying it."""
    return IDEMPOTENCY_KEY in request.headers


def backoff_s(attempt: int) -> float:
    """Return the wait before a retry: doubled each time, with jitter to spread many clients."""
    return min(_BACKOFF_MAX_S, _BACKOFF_FIRST_S * 2.0**attempt) * random.uniform(0.5, 1.0)


def _wait_before_retry_s(request: Request, response: httpx.Response, attempt: int) -> float | None:
    """Return the seconds to wait before sending again; ``None`` if the answer is final."""
    if response.status_code in _REFUSED_STATUSES:
        asked_s = retry_after_s(response)
        if asked_s is not None:
            return asked_s if asked_s <= _RETRY_AFTER_MAX_S else None
    is_safe = may_repeat(request) or _has_key(request)
    if response.status_code in _GATEWAY_STATUSES and is_safe:
        return backoff_s(attempt)
    return None


def _final(
    request: Request, response: httpx.Response, lost: OutcomeUnknown | None
) -> httpx.Response:
    """Return the last answer, or raise its error, or ``lost`` if it was not applied."""
    try:
        return _outcome(request, response)
    except Unavailable as ex:
        raise (lost or ex) from ex  # the last attempt was not applied; the lost one may have been


def _outcome(request: Request, response: httpx.Response) -> httpx.Response:
    if response.is_success:
        return response
    if response.status_code == 404 and _says_absent(request, response):
        return response
    raise error_of(response, is_write=not may_repeat(request))


def _says_absent(request: Request, response: httpx.Response) -> bool:
    """Return whether the 404 is the server's own answer that a key is absent.

    A 404 of another program at this address must not read as "deleted".
    """
    if request.method == "HEAD":  # its answer has no body
        return is_problem(response) and "Request-Id" in response.headers
    return problem_name(response) == "not-found"
