"""Content types of values: which may be stored, and which mean text."""

from __future__ import annotations

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
