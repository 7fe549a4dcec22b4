"""Decides, without I/O, which requests may be sent again.

What a failure says about a request:

=============================================  ==================  =======================
failure                                        a read              a write
=============================================  ==================  =======================
no connection: nothing was sent                again               again
429 or 503 with Retry-After: not applied       again, after that   again, after that
broken connection or time-out after sending    again               ``OutcomeUnknown``
502 or 504, from a proxy or the server         again               ``OutcomeUnknown``
any other answer                               final               final
=============================================  ==================  =======================
"""

from __future__ import annotations

import random
from collections.abc import Generator
from typing import Final

import httpx

from rundlet.calls.call import Pause, Request
from rundlet.errors import ConnectionFailed
from rundlet.problems import error_of, is_problem, problem_name, retry_after_s

_BACKOFF_FIRST_S: Final = 0.05
_BACKOFF_MAX_S: Final = 5.0
_RETRY_AFTER_MAX_S: Final = 60.0
_REFUSED_STATUSES: Final = frozenset({429, 503})
_GATEWAY_STATUSES: Final = frozenset({502, 504})


def attempts(
    request: Request, retries: int
) -> Generator[Request | Pause, httpx.Response, httpx.Response]:
    """Yield a request until its answer is final, with pauses; return the answer.

    It is a success, or says that the key does not exist. ``ConnectionFailed`` is thrown in if
    there is no answer and another attempt is safe, another error if that is not so.

    Raises:
        RundletError: see the tree in ``rundlet.errors``.
    """
    for attempt in range(retries):
        try:
            response = yield request
        except ConnectionFailed:
            yield Pause(backoff_s(attempt))
            continue
        if response.is_success:
            return response
        wait_s = _wait_before_retry_s(request, response, attempt)
        if wait_s is None:
            return _outcome(request, response)
        yield Pause(wait_s)
    return _outcome(request, (yield request))


def may_repeat(request: Request) -> bool:
    """Return whether a request changes nothing if it is applied for a second time."""
    return not request.is_write


def backoff_s(attempt: int) -> float:
    """Double the wait each time, with jitter so that many clients do not return at once."""
    return min(_BACKOFF_MAX_S, _BACKOFF_FIRST_S * 2.0**attempt) * random.uniform(0.5, 1.0)


def _wait_before_retry_s(request: Request, response: httpx.Response, attempt: int) -> float | None:
    """Return the seconds to wait before sending again; ``None`` if the answer is final."""
    if response.status_code in _REFUSED_STATUSES:
        asked_s = retry_after_s(response)
        if asked_s is not None:
            return asked_s if asked_s <= _RETRY_AFTER_MAX_S else None
    if response.status_code in _GATEWAY_STATUSES and may_repeat(request):
        return backoff_s(attempt)
    return None


def _outcome(request: Request, response: httpx.Response) -> httpx.Response:
    if response.is_success:
        return response
    if response.status_code == 404 and _says_absent(request, response):
        return response
    raise error_of(response, is_write=not may_repeat(request))


def _says_absent(request: Request, response: httpx.Response) -> bool:
    """Return whether the server itself says that a key is absent.

    A 404 of another program at this address must not read as "deleted".
    """
    if request.method == "HEAD":  # its answer has no body
        return is_problem(response) and "Request-Id" in response.headers
    return problem_name(response) == "not-found"
