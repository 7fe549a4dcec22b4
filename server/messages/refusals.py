"""Answers to requests that a server refuses without the application, as the same problems."""

from __future__ import annotations

from typing import Final

from rundlet_server.functions.limits import over_limit
from rundlet_server.functions.problems import Problem

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


def problem_of_head(status: int, detail: str) -> Problem:
    """Return the problem of a request that ``HeadError`` describes."""
    return Problem(status, _NAMES.get(status, "internal"), detail)


def too_large_head(size_max: int, size: int) -> Problem:
    """Return the problem of a head that is larger than ``header_bytes_max``."""
    detail = over_limit("header_bytes_max", size_max, size)
    return Problem(431, "headers-too-large", detail, {"limit": size_max})
