"""Content types of values: which may be stored, and which mean text."""

from __future__ import annotations

import functools
import re

import falcon

from rundlet_server.functions.problems import Problem
from rundlet_server.storage.bounds import CONTENT_TYPE_BYTES_MAX
from rundlet_server.storage.interface import DEFAULT_CONTENT_TYPE

_HEADER_SAFE = re.compile(r"[\t\x20-\x7e]*")


def content_type_given(req: falcon.Request) -> str:
    """Return the content type of a request exactly as given, or the default.

    Raises:
        Problem: 400 ``bad-content-type``.
    """
    content_type = req.content_type or DEFAULT_CONTENT_TYPE
    require_header_safe(content_type)
    return content_type


def require_header_safe(content_type: str) -> None:
    """Refuse a content type that could break the headers of answers.

    Raises:
        Problem: 400 ``bad-content-type``.
    """
    if len(content_type) > CONTENT_TYPE_BYTES_MAX or not _HEADER_SAFE.fullmatch(content_type):
        detail = (
            "the content type is not printable ASCII, or it is too long; send at most"
            f" {CONTENT_TYPE_BYTES_MAX} printable ASCII characters"
        )
        raise Problem(400, "bad-content-type", detail)


def readable_text(value: bytes, content_type: str) -> str | None:
    """Return the value as text, if its content type says that it is text and it is UTF-8."""
    if not _means_text(content_type):
        return None
    try:
        return value.decode()
    except UnicodeDecodeError:
        return None


@functools.lru_cache(maxsize=256)
def _means_text(content_type: str) -> bool:
    media_type = content_type.partition(";")[0].strip().lower()
    return media_type.startswith("text/") or media_type == "application/json"
