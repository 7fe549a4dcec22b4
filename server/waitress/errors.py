"""Answer requests that waitress itself rejects, before the app sees them, as the app would."""

from __future__ import annotations

from secrets import token_hex
from typing import Final

from waitress.task import ErrorTask
from waitress.utilities import Error

from rundlet_server.functions.limits import over_limit
from rundlet_server.functions.problems import Problem, encode_problem, headers_of, title_of

_NAMES: Final = {
    400: "malformed",
    501: "not-implemented",
    505: "version-not-supported",
}


class Refusal(Error):  # type: ignore[misc] # waitress has no types
    """Why a request is rejected."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.code = status
        self.reason = title_of(status)


class ProblemTask(ErrorTask):  # type: ignore[misc] # waitress has no types
    """Answers a rejected request with a problem, and closes the connection after it."""

    def execute(self) -> None:
        """Write the answer."""
        error = self.request.error
        problem = self._headers_too_large() if error.code == 431 else _problem(error)
        request_id = token_hex(6)
        body = encode_problem(problem, request_id)
        self.status = f"{error.code} {title_of(error.code)}"
        self.response_headers.extend(headers_of(problem, request_id).items())
        self.set_close_on_finish()
        self.content_length = len(body)
        # waitress itself would answer HEAD with a body, and a client would take that body for the
        # beginning of the next answer.
        self.write(b"" if self.request.method == "HEAD" else body)

    def _headers_too_large(self) -> Problem:
        most = self.request.adj.max_request_header_size - 1
        detail = over_limit("header_bytes_max", most, self.request.header_bytes_received)
        return Problem(431, "headers-too-large", detail, {"limit": most})


def _problem(error: Error) -> Problem:
    return Problem(error.code, _NAMES.get(error.code, "internal"), str(error.body))
