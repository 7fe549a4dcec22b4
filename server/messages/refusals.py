"""Answers to requests that a server refuses without the application, as the same problems."""

from __future__ import annotations

from secrets import token_hex
from typing import Final, NamedTuple

from rundlet_server.functions.limits import over_limit
from rundlet_server.functions.problems import Problem, encode_problem, headers_of, title_of

_NAMES: Final = {
    400: "malformed",
    501: "not-implemented",
    505: "version-not-supported",
}


class HeadError(Exception):
    """The head of a request is malformed, too long, or not supported.

    Attributes:
        status: of the answer.
        detail: what is wrong and what to do.
    """

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail


class Refusal(NamedTuple):
    """An answer: its status line, headers and body."""

    status: str
    headers: dict[str, str]
    body: bytes


def refusal_of(status: int, detail: str) -> Refusal:
    """Return the answer to a request that ``HeadError`` describes."""
    return problem_answer(Problem(status, _NAMES.get(status, "internal"), detail))


def too_large_head(size_max: int, size: int) -> Refusal:
    """Return the answer to a head that is larger than ``header_bytes_max``."""
    detail = over_limit("header_bytes_max", size_max, size)
    return problem_answer(Problem(431, "headers-too-large", detail, {"limit": size_max}))


def problem_answer(problem: Problem) -> Refusal:
    """Return the answer for a problem."""
    request_id = token_hex(6)
    status = f"{problem.status} {title_of(problem.status)}"
    return Refusal(status, headers_of(problem, request_id), encode_problem(problem, request_id))
