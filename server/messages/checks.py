"""Checks of the head of a request (RFC 9112), with the same errors in both servers."""

from __future__ import annotations

import re
from typing import Final, NamedTuple
from urllib.parse import quote

from rundlet_server.server.messages.refusals import HeadError

_VISIBLE: Final = "".join(map(chr, range(0x21, 0x7F)))
_DIGITS: Final = re.compile(r"[0-9]+")
_LENGTH_DIGITS_MAX: Final = 18
_SHOWN_BYTES: Final = 80


class Framing(NamedTuple):
    """The framing of the body of a request.

    Attributes:
        is_chunked: the body ends with its last chunk.
        size: if it is not chunked, its size in bytes.
    """

    is_chunked: bool
    size: int


NO_BODY: Final = Framing(is_chunked=False, size=0)
_CHUNKED: Final = Framing(is_chunked=True, size=0)


def check_method(method: bytes) -> None:
    """Refuse a method that is not in upper case.

    Raises:
        HeadError: 400.
    """
    if method != method.upper():
        raise HeadError(400, f"the method {shown(method)} must be in upper case")


def check_target(target: bytes) -> None:
    """Refuse a target that is not percent-encoded.

    Raises:
        HeadError: 400.
    """
    if not target.isascii():
        encoded = quote(target, safe=_VISIBLE)
        raise HeadError(
            400,
            f"percent-encode every byte of the request target that is not ASCII: {encoded[:200]}",
        )


def framing_of(codings: str | None, length: str | None, version: str) -> Framing:
    """Return the framing of a body.

    Args:
        codings: the header ``Transfer-Encoding``.
        length: the header ``Content-Length``; a number with too many digits becomes a size that
            exceeds every limit.
        version: of HTTP, such as ``1.1``.

    Raises:
        HeadError: 400, 501.
    """
    if codings is None:
        return NO_BODY if length is None else Framing(is_chunked=False, size=_size_of(length))
    if length is not None:
        raise HeadError(
            400, "a request cannot have both Content-Length and Transfer-Encoding; send one of them"
        )
    if version == "1.0":
        raise HeadError(400, "HTTP/1.0 has no Transfer-Encoding; send Content-Length")
    listed = [coding.strip(" \t").lower() for coding in codings.split(",")]
    if not any(listed) or listed.count("chunked") > 1:
        raise HeadError(400, "Transfer-Encoding is malformed; send chunked, once")
    if listed != ["chunked"]:
        raise HeadError(501, "the only Transfer-Encoding that this server decodes is chunked")
    return _CHUNKED


def shown(data: bytes) -> str:
    """Return a part of a head, quoted and shortened for an error."""
    text = data[:_SHOWN_BYTES].decode("latin-1")
    return f"{text!r}{'…' if len(data) > _SHOWN_BYTES else ''}"


def _size_of(length: str) -> int:
    if not _DIGITS.fullmatch(length):
        raise HeadError(400, "Content-Length is malformed; send one number of bytes")
    digits = length.lstrip("0")
    return int(digits or "0") if len(digits) <= _LENGTH_DIGITS_MAX else 10**_LENGTH_DIGITS_MAX
