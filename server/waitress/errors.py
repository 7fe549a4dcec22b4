"""What waitress refuses itself, before a request reaches the app, answered as the app would."""

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
    """A parser that refuses what two servers in a row could understand differently.

    Attributes:
        began_s: when the first byte of the request came.
        method: as it was sent, also where the rest of the request is malformed or too long.
    """

    def __init__(self, adj: Adjustments) -> None:
        super().__init__(adj)
        self.began_s = time.time()
        self.method = ""

    def parse_header(self, header_plus: bytes) -> None:
        """Parse the request line and the headers.

        Raises:
            ParsingError: they are malformed, or tell two lengths of the body, by which a request
                could be hidden in another one's body.
        """
        # In place of headers that are too long waitress parses a short GET of its own.
        begin = max(self.header_plus, header_plus, key=len).lstrip()
        self.method = begin.partition(b" ")[0].decode("latin-1")
        try:
            super().parse_header(header_plus)
        except ValueError as ex:  # of urlsplit, which waitress lets pass
            raise ParsingError("the request target is malformed") from ex
        if self.chunked and "CONTENT_LENGTH" in self.headers:
            raise ParsingError("Content-Length and Transfer-Encoding exclude each other")


class ProblemTask(ErrorTask):  # type: ignore[misc] # waitress has no types
    """Answers a refused request with a problem; the connection is closed after it."""

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
        # waitress itself would answer HEAD with a body, which a client takes for the next answer.
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
