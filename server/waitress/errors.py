"""Answer requests that waitress rejects without the app, in the form of the app's errors."""

from __future__ import annotations

from waitress.task import ErrorTask
from waitress.utilities import Error

from rundlet_server.functions.problems import Problem, title_of
from rundlet_server.server.messages.refusals import problem_of_head, too_large_head


class RefusedHead(Error):  # type: ignore[misc] # waitress has no types
    """Why a request is rejected."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.code = status
        self.reason = title_of(status)


class ProblemTask(ErrorTask):  # type: ignore[misc] # waitress has no types
    """Answers a rejected request with a problem, and closes the connection after it."""

    def execute(self) -> None:
        """Write the answer."""
        method = self.request.method
        self.status, headers, body = self.channel.refuse(method, self._problem())
        self.response_headers.extend(headers.items())
        self.set_close_on_finish()
        self.content_length = len(body)
        # waitress itself would answer HEAD with a body, and a client would take that body for the
        # beginning of the next answer.
        self.write(b"" if method == "HEAD" else body)

    def _problem(self) -> Problem:
        error = self.request.error
        if error.code == 431:
            most = self.request.adj.max_request_header_size - 1
            return too_large_head(most, self.request.header_bytes_received)
        return problem_of_head(error.code, str(error.body))
