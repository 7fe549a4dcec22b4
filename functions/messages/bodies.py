"""Request bodies: read within bounds; JSON and CBOR, decoded strictly and encoded alike."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterable, Mapping
from typing import NoReturn

import cbor2
import falcon
from falcon import mediatypes
from falcon.typing import ReadableIO

from rundlet_server.functions.messages.uploads import UploadGate, note_received
from rundlet_server.functions.problems import Problem, too_large

JSON_TYPE = "application/json"
CBOR_TYPE = "application/cbor"

NESTING_MAX = 16

_STEP_BYTES = 1024 * 1024
_ACCEPT_CHARS_MAX = 1_000


def read_body(req: falcon.Request, gate: UploadGate, what: str, size_max: int) -> bytes:
    """The whole body as one object; ``what`` names the limit as ``functions.limits`` does.

    A chunked body counts where the WSGI server has put it together and tells its length, as
    waitress does. Granian hands on chunks as they come and says nothing where they break off or
    are malformed: a part of a value would be stored for the whole.

    Raises:
        Problem: 411 without a length, 413 over the limit (from ``Content-Length`` before
            anything is read), 400 ``short-body`` where the client sent less than promised,
            503 ``too-many-uploads``.
    """
    size = req.content_length
    if size is None:
        detail = "send Content-Length, which tells a whole body from one that broke off"
        raise Problem(411, "length-required", detail)
    if size > size_max:
        raise too_large(what, size_max, size)
    with gate.held():
        body = _read_up_to(req.stream, size)
    note_received(req.env, len(body))
    if len(body) < size:
        detail = f"Content-Length promises {size} bytes, only {len(body)} came; send it again"
        raise Problem(400, "short-body", detail)
    return body


def body_type(req: falcon.Request) -> str:
    """``application/json`` or ``application/cbor``, by ``Content-Type``.

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


def answer_type(req: falcon.Request, preferred: str = JSON_TYPE) -> str:
    """The media type to answer in, by ``Accept``; ``preferred`` where both are as welcome.

    Raises:
        Problem: 406 where neither is accepted.
    """
    accept = req.env.get("HTTP_ACCEPT")
    if not accept or accept == "*/*":
        return preferred
    if len(accept) > _ACCEPT_CHARS_MAX:  # Falcon's parser takes quadratic time for some
        detail = f"Accept is longer than {_ACCEPT_CHARS_MAX} characters; send {JSON_TYPE} only"
        raise Problem(406, "not-acceptable", detail)
    other = CBOR_TYPE if preferred == JSON_TYPE else JSON_TYPE
    try:
        chosen = mediatypes.best_match((preferred, other), accept.lower())
    except ValueError:  # not a list of media types at all
        chosen = ""
    if not chosen:
        raise Problem(406, "not-acceptable", f"accept {JSON_TYPE} or {CBOR_TYPE}")
    return chosen


def decode(body: bytes, media_type: str) -> object:
    """The one item in a body: JSON, or the part of CBOR that says the same, and bytes.

    Raises:
        Problem: 400 ``bad-body``: malformed, nested too deep, a member twice, text that is not
            UTF-8, NaN, a CBOR tag or item of indefinite length, anything after the item.
    """
    try:
        return _decode_json(body) if media_type == JSON_TYPE else _decode_cbor(body)
    except (ValueError, RecursionError, cbor2.CBORError) as ex:
        reason = "it is nested too deep" if isinstance(ex, RecursionError) else str(ex)
        detail = f"the body is not acceptable {media_type}: {reason}"
        raise Problem(400, "bad-body", detail) from ex


def encode(answer: Mapping[str, object], media_type: str) -> bytes:
    """The body of an answer."""
    if media_type == CBOR_TYPE:
        return cbor2.dumps(answer)
    return json.dumps(answer, ensure_ascii=False, separators=(",", ":")).encode()


def _read_up_to(stream: ReadableIO, size: int) -> bytes:
    """At most ``size`` bytes, and never twice in memory.

    A large body is not read at once, since Granian would gather it before it copies it, nor
    joined from pieces, but grows in a ``BytesIO``, which gives its buffer away uncopied.
    """
    piece = _read(stream, min(size, _STEP_BYTES))
    if len(piece) == size:
        return piece
    body = io.BytesIO()
    while piece:
        body.write(piece)
        piece = _read(stream, min(size - body.tell(), _STEP_BYTES))
    return body.getvalue()


def _read(stream: ReadableIO, size: int) -> bytes:
    if size == 0:
        return b""
    try:
        return stream.read(size)
    except OSError as ex:
        raise Problem(400, "short-body", "the connection broke within the body") from ex


def _decode_json(body: bytes) -> object:
    item: object = json.loads(
        body.decode(), object_pairs_hook=_without_duplicates, parse_constant=_refuse_constant
    )
    _require_shallow(item)
    return item


def _decode_cbor(body: bytes) -> object:
    stream = io.BytesIO(body)
    decoder = cbor2.CBORDecoder(
        stream,
        semantic_decoders=_NoTags(),
        max_depth=NESTING_MAX,
        allow_indefinite=False,
        allow_duplicate_keys=False,
        strict_hashable_types=True,
    )
    item: object = decoder.decode()
    if stream.tell() != len(body):
        raise ValueError(f"{len(body) - stream.tell()} bytes stand after the item")
    return item


def _without_duplicates(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) < len(pairs):
        raise ValueError("a member stands there twice in one object")
    return members


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")


def _require_shallow(item: object) -> None:
    """JSON within the nesting that CBOR is allowed."""
    level: Iterable[object] = [item]
    for _ in range(NESTING_MAX):
        level = [child for parent in level for child in _children(parent)]
        if not level:
            return
    raise RecursionError


def _children(item: object) -> Iterable[object]:
    if isinstance(item, dict):
        return item.values()
    return item if isinstance(item, list) else ()


def _refuse_tag(*_: object) -> NoReturn:
    raise ValueError("CBOR tags mean nothing here")


class _NoTags(dict[int, Callable[..., NoReturn]]):
    """For every tag the one decoder that refuses it.

    Left alone, cbor2 makes dates of some tags and compiles regular expressions of others.
    """

    def get(self, _tag: int, _default: object = None) -> Callable[..., NoReturn]:
        return _refuse_tag

    def __contains__(self, _tag: object) -> bool:
        return True

    def __missing__(self, _tag: int) -> Callable[..., NoReturn]:
        return _refuse_tag
