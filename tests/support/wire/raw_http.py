"""HTTP at the level of bytes: requests are sent unchanged, answers are parsed strictly by the RFC.

A lenient parser would overlook the bugs that the tests look for: a value that breaks out of its
header, an answer longer or shorter than it declares, one that another client of the connection
would get.
"""

from __future__ import annotations

import json
import re
import socket
import time
from collections.abc import Sequence
from typing import Final, NamedTuple, Self

from tests.support import PATIENCE_S
from tests.support.processes.servers import has_read_all

_STATUS_LINE: Final = re.compile(rb"HTTP/1\.[01] ([1-9][0-9]{2}) [\t\x20-\x7e]*")
_HEADER: Final = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([\t\x20-\x7e\x80-\xff]*)")
_LISTS: Final = {"vary", "allow", "cache-control", "link", "accept", "connection"}
_STATUS_5XX: Final = {501, 505}
"""An encoding of transfer, or a version of HTTP, that is not offered. Every other 5xx would be a
bug, or overload."""
_PROBLEM_MEMBERS: Final = {"type", "title", "status", "detail", "request_id"}
_QUIET_S: Final = 0.05


class MalformedAnswer(AssertionError):
    """The bytes are not HTTP, or an answer that no client should ever receive."""


class Answer(NamedTuple):
    """An answer, with its header names in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes


class RawConnection:
    """A persistent connection for requests whose answers are read one by one."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S)
        self._received = b""

    def ask(self, request: bytes) -> Answer:
        """Send a request and return its answer."""
        self._socket.sendall(request)
        method = request.partition(b" ")[0].decode("latin-1")
        while (found := first_answer(self._received, method)) is None:
            piece = self._socket.recv(65_536)
            if not piece:
                raise MalformedAnswer(f"closed within the answer to {request[:200]!r}")
            self._received += piece
        answer, self._received = found
        return answer

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()


def talk(port: int, data: bytes, *, is_whole: bool) -> bytes:
    """Send bytes and return all that the server sends until it closes the connection.

    If the server cannot know whether the request is complete (``is_whole`` is false), the client
    half-closes the connection once the server has read it and has sent nothing for a moment.
    """
    received = bytearray()
    ends_s = time.monotonic() + PATIENCE_S
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S) as connection:
        try:
            connection.sendall(data)
            if not is_whole:
                connection.settimeout(_QUIET_S)
            while True:
                try:
                    piece = connection.recv(65_536)
                except TimeoutError:
                    if is_whole:
                        raise
                    if not has_read_all(connection) and time.monotonic() < ends_s:
                        continue
                    is_whole = True
                    connection.settimeout(PATIENCE_S)
                    connection.shutdown(socket.SHUT_WR)
                    continue
                if not piece:
                    break
                received += piece
        except ConnectionError:  # refused before all of it was read, or written
            pass
    return bytes(received)


def read_answers(data: bytes, methods: Sequence[str] = ()) -> list[Answer]:
    """Split all that a server sent on one connection into answers to requests of these methods."""
    answers: list[Answer] = []
    while data:
        method = methods[len(answers)] if len(answers) < len(methods) else "GET"
        found = first_answer(data, method)
        if found is None:
            raise MalformedAnswer(f"broken off: {data[-200:]!r}")
        answer, data = found
        answers.append(answer)
    return answers


def first_answer(data: bytes, method: str) -> tuple[Answer, bytes] | None:
    """Return the first answer and the bytes after it; ``None`` if the answer is incomplete."""
    head, end, rest = data.partition(b"\r\n\r\n")
    if not end:
        return None
    status, headers = _read_head(head)
    if 100 <= status < 200:
        return first_answer(rest, method)
    if method == "HEAD" or status in (204, 304):
        return Answer(status, headers, b""), rest
    if "transfer-encoding" in headers:
        raise MalformedAnswer("nothing here is sent in chunks")
    if "content-length" not in headers:
        raise MalformedAnswer(f"no length, so nobody knows where it ends: {head[:300]!r}")
    size = int(headers["content-length"])
    if len(rest) < size:
        return None
    return Answer(status, headers, rest[:size]), rest[size:]


def check_answer(answer: Answer, *, may_be_bare: bool) -> None:
    """Reject answers that show a bug, and errors that do not say what is wrong.

    Args:
        answer: to any request.
        may_be_bare: allow no body, because Granian itself rejects malformed requests without one.
    """
    if answer.status >= 500 and answer.status not in _STATUS_5XX:
        raise MalformedAnswer(f"{answer.status}: {answer.body[:500]!r}")
    if b"Traceback" in answer.body or b'.py", line' in answer.body:
        raise MalformedAnswer(f"a traceback: {answer.body[:500]!r}")
    if answer.status < 400:
        return
    is_bare = answer.body == b"" and answer.status in (400, 414, 431)
    if not (may_be_bare and is_bare and "request-id" not in answer.headers):
        _check_problem(answer)


def _check_problem(answer: Answer) -> None:
    if answer.headers.get("content-type") != "application/problem+json":
        raise MalformedAnswer(f"no problem: {answer}")
    if not answer.body:  # the answer to HEAD
        return
    problem = json.loads(answer.body)
    told = problem.keys() >= _PROBLEM_MEMBERS and problem["status"] == answer.status
    if not told or problem["request_id"] != answer.headers.get("request-id"):
        raise MalformedAnswer(f"not all of a problem: {answer}")


def _read_head(head: bytes) -> tuple[int, dict[str, str]]:
    status_line, *lines = head.split(b"\r\n")
    found = _STATUS_LINE.fullmatch(status_line)
    if found is None:
        raise MalformedAnswer(f"no status line: {status_line[:200]!r}")
    headers: dict[str, str] = {}
    for line in lines:
        header = _HEADER.fullmatch(line)
        if header is None:
            raise MalformedAnswer(f"no header: {line[:200]!r}")
        name, text = header[1].decode().lower(), header[2].decode("latin-1")
        if name in headers and name not in _LISTS:
            raise MalformedAnswer(f"{name} twice: {head[:500]!r}")
        headers[name] = text
    if not headers.get("content-length", "0").isdecimal():
        raise MalformedAnswer(f"no length: {headers['content-length']!r}")
    return int(found[1]), headers
