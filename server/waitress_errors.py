"""What waitress refuses itself, before a request reaches the app, answered as the app would."""

from __future__ import annotations

from secrets import token_hex
from typing import Final

from waitress.parser import HTTPRequestParser, ParsingError
from waitress.task import ErrorTask

from functions.problems import PROBLEM_TYPE, Problem, encode_problem

_NAMES: Final = {
    400: "malformed",
    413: "too-large",
    431: "headers-too-large",
    501: "not-implemented",
}


class StrictParser(HTTPRequestParser):  # type: ignore[misc] # waitress has no types
    """A parser that refuses what two servers in a row could understand differently."""

    def parse_header(self, header_plus: bytes) -> None:
        """Parse the request line and the headers.

        Raises:
            ParsingError: they are malformed, or tell two lengths of the body, by which a request
                could be hidden in another one's body.
        """
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
        problem = Problem(error.code, _NAMES.get(error.code, "internal"), str(error.body))
        request_id = token_hex(6)
        body = encode_problem(problem, request_id)
        self.status = f"{error.code} {error.reason}"
        self.response_headers.extend([("Content-Type", PROBLEM_TYPE), ("Request-Id", request_id)])
        self.set_close_on_finish()
        self.content_length = len(body)
        self.write(body)
