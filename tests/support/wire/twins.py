"""Compare the answers of two servers to the same bytes.

What may differ is listed here, each with its reason; everything else is a difference.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Sequence
from typing import Final

from tests.support.wire.get_requests import Request
from tests.support.wire.raw_http import Answer, first_answer

_NAMED: Final = {
    "date": ("MOMENT", re.compile(r"[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT")),
    "request-id": ("NUMBER", re.compile(r"[0-9a-f]{8}-[0-9a-f]+|[0-9a-f]{12}")),
}
"""Headers whose text may differ: the moment of the answer, and a random number. Both answers have
them, each in its form."""
_OF_ONE: Final = {
    "server": "Granian names itself, waitress does not",
    "connection": "hyper leaves it out where the client asked for the same",
    "transfer-encoding": "hyper gives an answer in parts a length if it has no parts",
}
"""Headers that only one may have, and why."""

_IDS: Final = (
    (re.compile(rb"rundlet_[0-9a-f]{8}_[A-Za-z0-9_-]{43}"), b"SECRET"),
    (re.compile(rb'"id": ?"[0-9a-f]{8}"'), b'"id":"TOKEN"'),
    (re.compile(rb"(?<![0-9a-f])[0-9a-f]{32}(?![0-9a-f])"), b"BACKUP"),
    (re.compile(rb'"sha256": ?"[0-9a-f]{64}"'), b'"sha256":"HASH"'),
)
"""What each server draws by chance, and hashes of files that hold the times of commits."""

_MOMENT: Final = re.compile(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")
_HTTP_DATE: Final = re.compile(rb"[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT")
_CURSOR: Final = re.compile(rb'(cursor=|"cursor":")([A-Za-z0-9_-]{20,})')

_OF_HYPER: Final = re.compile(r"[/?*].*|https?://.*", re.IGNORECASE)
_REFUSED_BY_HYPER: Final = re.compile(r"[^?]*[<>`].*|[^?]*\?.*[\"<>].*|.*[\x7f-\xff].*")
# Their bodies show settings, sizes of files and counters of one process.
_OF_THE_PROCESS: Final = re.compile(r"(?:https?://[^/]*)?/(?:v1|v1/stats|metrics)(?:[?#].*)?", re.I)


def reason_to_differ(request: Request) -> str | None:
    """Return why Granian may refuse what waitress takes, or the other way round."""
    given = [(name.lower(), text.strip()) for name, text in request.headers]
    names = {name for name, _ in given}
    lengths = [text for name, text in given if name == "content-length"]
    if not _OF_HYPER.fullmatch(request.target) or _REFUSED_BY_HYPER.fullmatch(request.target):
        return "hyper refuses the target"
    if not request.target.startswith("/") and "host" not in names:
        return "Granian makes Host of an absolute target"
    if len(lengths) > 1 or not all(x.isascii() and x.isdigit() for x in lengths):
        return "hyper takes Content-Length twice if it is the same, and refuses others"
    codings = [text for name, text in given if name == "transfer-encoding"]
    if codings and (codings != ["chunked"] or lengths or request.version == "HTTP/1.0"):
        return "hyper refuses the framing"
    return None


def is_refused_by_hyper(answer: Answer) -> bool:
    """Return whether the library below Granian refused a request, without a body."""
    is_bare = not answer.body and "request-id" not in answer.headers
    return is_bare and answer.status in (400, 414, 431)


def encoded(request: Request) -> bytes:
    """Return a request as bytes, with its body as it is, on a connection of its own."""
    lines = [f"{request.method} {request.target} {request.version}"]
    lines += [f"{name}: {text}" for name, text in request.headers]
    return "\r\n".join((*lines, "Connection: close\r\n\r\n")).encode("latin-1") + request.body


def differ(request: Request, waitress: Answer, granian: Answer) -> bool:
    """Return whether two answers differ in what must be the same."""
    one, other = comparable(waitress), comparable(granian)
    if one == other:
        return False
    if reason_to_differ(request) is not None:
        is_taken = waitress.status == 400 and granian.status < 500
        return not (is_taken or is_refused_by_hyper(granian))
    if one.headers.keys() != other.headers.keys() or one.status != other.status:
        return True
    if one.status == 400 and ("Transfer-Encoding", "chunked") in request.headers:
        # Granian tells only that a chunk is malformed, and not how.
        other.headers["content-length"] = one.headers["content-length"]
        is_told = request.method == "HEAD" or _tells_of_a_chunk(one, other)
        return one.headers != other.headers or not is_told
    if one.status != 200 or not _OF_THE_PROCESS.fullmatch(request.target):
        return True
    return _shape(one.body) != _shape(other.body)


def _shape(body: bytes) -> object:
    """Return the names in a report of a process, in place of what it has counted."""
    if body.startswith(b"{"):
        return _names(json.loads(body))
    return {line.split(b" ")[2] for line in body.splitlines() if line.startswith(b"# TYPE ")}


def _names(member: object) -> object:
    if isinstance(member, dict):
        return {name: _names(inner) for name, inner in member.items()}
    return None


def _tells_of_a_chunk(*answers: Answer) -> bool:
    return all(b'"detail":"a chunk ' in answer.body for answer in answers)


def read_answer(data: bytes, method: str) -> Answer:
    """Return the only answer in all that a server sent, also if it came in chunks."""
    (answer,) = read_all(data, [method])
    return answer


def read_all(data: bytes, methods: Sequence[str]) -> list[Answer]:
    """Return the answers to requests of these methods, also those that came in chunks."""
    answers: list[Answer] = []
    while data:
        method = methods[len(answers)]
        head, end, rest = data.partition(b"\r\n\r\n")
        if head.startswith(b"HTTP/1.1 100"):
            data = rest
            continue
        lines = head.split(b"\r\n")
        coding = [line for line in lines if line.lower() == b"transfer-encoding: chunked"]
        if coding and method != "HEAD":
            lines.remove(coding[0])
            body, rest = joined(rest)
            head = b"\r\n".join([*lines, b"Content-Length: %d" % len(body)])
            rest = body + rest
        found = first_answer(head + end + rest, method)
        assert found is not None, "broken off"
        answer, data = found
        answers.append(answer)
    return answers


def joined(chunks: bytes) -> tuple[bytes, bytes]:
    """Return what chunks hold, and what stands after the last."""
    body = b""
    while True:
        size, _, chunks = chunks.partition(b"\r\n")
        count = int(size, 16)
        body += chunks[:count]
        assert chunks[count : count + 2] == b"\r\n", "broken off"
        chunks = chunks[count + 2 :]
        if not count:
            return body, chunks


def comparable(answer: Answer) -> Answer:
    """Return an answer without what may differ: random numbers, and when it was asked."""
    number = answer.headers.get("request-id", "")
    headers = {
        name: _without_moments(text.encode("latin-1"), "").decode("latin-1")
        for name, text in answer.headers.items()
        if name not in _OF_ONE
    }
    for name, (told, form) in _NAMED.items():
        if form.fullmatch(answer.headers.get(name, "")):
            headers[name] = told
    if answer.status >= 400 and "content-length" in headers:
        headers["content-length"] = str(int(headers["content-length"]) - len(number))
    return Answer(answer.status, headers, _without_moments(answer.body, number))


def _without_moments(data: bytes, number: str) -> bytes:
    if number:
        data = data.replace(number.encode("latin-1"), b"NUMBER")
    data = _MOMENT.sub(b"MOMENT", data)
    data = _HTTP_DATE.sub(b"MOMENT", data)
    for pattern, name in _IDS:
        data = pattern.sub(name, data)
    return _CURSOR.sub(lambda found: found[1] + _cursor_without_moment(found[2]), data)


def _cursor_without_moment(cursor: bytes) -> bytes:
    """Return the parts of a cursor, without the time at which its list began."""
    revision, _, *others = json.loads(base64.urlsafe_b64decode(cursor + b"=" * (-len(cursor) % 4)))
    return json.dumps([revision, *others]).encode()
