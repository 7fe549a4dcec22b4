"""Answer what a server refuses, for apps that do not count."""

from __future__ import annotations

from rundlet_server.functions.problems import (
    ErrorAnswer,
    Problem,
    encode_problem,
    headers_of,
    title_of,
)


def refuse(_method: str, problem: Problem) -> ErrorAnswer:
    """Return the answer that a problem is; see ``MeasuredApp.refuse``."""
    status = f"{problem.status} {title_of(problem.status)}"
    return status, headers_of(problem, "id"), encode_problem(problem, "id")
