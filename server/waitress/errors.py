"""Answer requests that waitress itself rejects, before the app sees them, as the app would."""

from __future__ import annotations

import time
from secrets import token_hex
from typing import Final

from waitress.adjustments import Adjustments
from waitress.parser import HTTPRequestParser, ParsingError
from waitress.task import ErrorTask
from waitress.utilities import Error

from rundlet_server.functions.limits import over_limit
from rundlet_server.functions.problems import PROBLEM_TYPE, Problem, encode_problem, too_large

_NAMES: Final = {
    400: "malformed",
    413: "too-large",
    501: "not-implemented",
}


class StrictParser(HTTPRequestParser):  # type: ignore[misc] # waitress has no types
    """A parser that rejects requests which two servers in a row could interpret differently.

    Attributes:
        began_s: when the first byte of the request arrived.
        method: as the client sent it, even if the rest of the request is malformed or too long.
    """

    def __init__(self, adj: Adjustments) -> None:
        super().__init__(adj)
        self.began_s = time.time()
        self.method = ""

    def parse_header(self, header_plus: bytes) -> None:
        """Parse the request line and the headers.

        Raises:
            ParsingError: they are malformed, or they give two lengths of the body, so that one
                request could hide in the body of another (request smuggling).
        """
        # If the headers are too long, waitress parses a short GET of its own in their place.
        begin = max(self.header_plus, header_plus, key=len).lstrip()
        self.method = begin.partition(b" ")[0].decode("latin-1")
        try:
            super().parse_header(header_plus)
        except ValueError as ex:  # urlsplit raises it, and waitress does not catch it
            raise ParsingError("the request target is malformed") from ex
        if self.chunked and "CONTENT_LENGTH" in self.headers:
            raise ParsingError(
                "a request cannot have both Content-Length and Transfer-Encoding; send one of them"
            )


class ProblemTask(ErrorTask):  # type: ignore[misc] # waitress has no types
    """Answers a rejected request with a problem, and closes the connection after it."""

    def execute(self) -> None:
        """Write the answer."""
        error = self.request.error
        problem = self._over_limit() if error.code in (413, 431) else _problem(error)
        request_id = token_hex(6)
        body = encode_problem(problem, request_id)
        self.status = f"{error.code} {error.reason}"
        self.response_headers.extend([("Content-Type", PROBLEM_TYPE), ("Request-Id", request_id)])
        self.set_close_on_finish()
        self.content_length = len(body)
        # waitress itself would answer HEAD with a body, and a client would take that body for the
        # beginning of the next answer.
        self.write(b"" if self.request.method == "HEAD" else body)

    def _over_limit(self) -> Problem:
        request = self.request
        if request.error.code == 431:
            most = request.adj.max_request_header_size - 1
            detail = over_limit("header_bytes_max", most, request.header_bytes_received)
            return Problem(431, "headers-too-large", detail, {"limit": most})
        got = max(request.content_length, request.body_bytes_received)
        return too_large("body_bytes_max", request.adj.max_request_body_size, got)


def _problem(error: Error) -> Problem:
    return Problem(error.code, _NAMES.get(error.code, "internal"), str(error.body))
