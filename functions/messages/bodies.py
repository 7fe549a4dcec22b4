"""Bodies: read within bounds, negotiated and encoded as JSON or CBOR; ``decoding`` decodes them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import cbor2
import falcon
import msgspec
from falcon.typing import ReadableIO

from rundlet_server.functions.messages.uploads import note_received
from rundlet_server.functions.problems import Problem, too_large

JSON_TYPE = "application/json"
CBOR_TYPE = "application/cbor"

_WEIGHT: Final = re.compile(r"0(\.[0-9]{0,3})?|1(\.0{0,3})?")
_STEP_BYTES = 1024 * 1024
_JSON_ENCODER: Final = msgspec.json.Encoder()


def read_body(req: falcon.Request, what: str, size_max: int) -> bytes:
    """Return the whole body; ``what`` names the limit as ``functions.limits`` does.

    A chunked body is accepted if the server has assembled it and sets ``Content-Length``, as the
    servers of ``rundlet serve`` do. Other WSGI servers pass on chunks as they come, and may not
    report that they break off or are malformed: the app would store a part of a value as the whole.

    Raises:
        Problem: 415 with a ``Content-Encoding``, 411 without a length, 413 over the limit (from
            ``Content-Length`` before anything is read), 400 ``short-body`` if the client sent
            less than promised.
    """
    encoding = req.env.get("HTTP_CONTENT_ENCODING", "identity").strip().lower()
    if encoding not in ("identity", ""):
        detail = "send the body as it is, without Content-Encoding"
        headers = {"Accept-Encoding": "identity"}
        raise Problem(415, "unsupported-encoding", detail, headers=headers)
    size = announced_size(req, what, size_max)
    body = _read(req.stream, size)
    note_received(req.env, len(body))
    if len(body) < size:
        raise _short_body(size, len(body))
    return body


def announced_size(req: falcon.Request, what: str, size_max: int) -> int:
    """Return the size of a body in bytes by ``Content-Length``.

    Raises:
        Problem: 411 and 413 as ``read_body``.
    """
    size = req.content_length
    if size is None:
        detail = "send Content-Length, which tells a whole body from one that broke off"
        raise Problem(411, "length-required", detail)
    if size > size_max:
        raise too_large(what, size_max, size)
    return size


def body_pieces(req: falcon.Request, size: int) -> Iterator[bytes]:
    """Yield a body of this size as it comes, up to a mebibyte at a time.

    Raises:
        Problem: 400 ``short-body``: the body broke off, so the yielded pieces are not all of it.
    """
    left = size
    while left:
        piece = _read(req.stream, min(left, _STEP_BYTES))
        if not piece:
            raise _short_body(size, size - left)
        note_received(req.env, len(piece))
        left -= len(piece)
        yield piece


def accepts_gzip(req: falcon.Request) -> bool:
    """Return whether ``Accept-Encoding`` names gzip."""
    accepted = _accepted(req.env.get("HTTP_ACCEPT_ENCODING", "").lower())
    return accepted.get("gzip", accepted.get("x-gzip", 0.0)) > 0


def _short_body(size: int, got: int) -> Problem:
    detail = f"Content-Length promises {size} bytes, only {got} came; send it again"
    return Problem(400, "short-body", detail)


def body_type(req: falcon.Request) -> str:
    """Return ``application/json`` or ``application/cbor``, by ``Content-Type``.

    Raises:
        Problem: 415 for anything else, also for none at all.
    """
    media_type = (req.content_type or "").partition(";")[0].strip().lower()
    if media_type in (JSON_TYPE, CBOR_TYPE):
        return media_type
    detail = f"send Content-Type: {JSON_TYPE} or {CBOR_TYPE}"
    raise Problem(
        415, "unsupported-media-type", detail, headers={"Accept": f"{JSON_TYPE}, {CBOR_TYPE}"}
    )


def answer_type(
    req: falcon.Request,
    preferred: str = JSON_TYPE,
    *,
    offered: Sequence[str] = (JSON_TYPE, CBOR_TYPE),
) -> str:
    """Return the media type of the answer, by ``Accept``.

    Args:
        req: the request.
        preferred: taken if no other type has a higher weight.
        offered: all types of the route; among equal weights, the first one is taken.

    Raises:
        Problem: 406 if the client accepts none.
    """
    accept = req.env.get("HTTP_ACCEPT")
    if not accept or accept == "*/*":
        return preferred
    ranges = _accepted(accept.lower())
    best, best_quality = preferred, _quality(preferred, ranges)
    for media_type in offered:
        quality = _quality(media_type, ranges)
        if quality > best_quality:
            best, best_quality = media_type, quality
    if best_quality == 0:
        raise Problem(406, "not-acceptable", f"accept {', '.join(offered[:-1])} or {offered[-1]}")
    return best


def encode(answer: Mapping[str, object], media_type: str) -> bytes:
    """Encode the body of an answer."""
    if media_type == CBOR_TYPE:
        return cbor2.dumps(answer)
    return _JSON_ENCODER.encode(answer)


def _accepted(accept: str) -> dict[str, float]:
    """Return the media ranges of ``Accept`` and the weight of each, in linear time.

    Parameters other than ``q`` make no difference here. Elements that are empty or have an invalid
    weight are ignored.
    """
    ranges: dict[str, float] = {}
    for element in accept.split(","):
        media_range, *parameters = element.split(";")
        pairs = (parameter.strip().partition("=") for parameter in parameters)
        weight = next((value for name, _, value in pairs if name == "q"), "1")
        if _WEIGHT.fullmatch(weight):
            ranges[media_range.strip()] = float(weight)
    return ranges


def _quality(media_type: str, ranges: Mapping[str, float]) -> float:
    """Return the weight of a media type; the most specific range decides."""
    for media_range in (media_type, f"{media_type.partition('/')[0]}/*", "*/*"):
        if media_range in ranges:
            return ranges[media_range]
    return 0


def _read(stream: ReadableIO, size: int) -> bytes:
    if size == 0:
        return b""
    try:
        return stream.read(size)
    except OSError as ex:
        raise Problem(400, "short-body", "the connection broke within the body") from ex
