"""Values given on the command line."""

from __future__ import annotations

import os

from rundlet import DEFAULT_CONTENT_TYPE, TEXT_CONTENT_TYPE


def typed_argument(argument: str) -> tuple[bytes, str]:
    """The exact bytes of an argument, and its content type: text where it is UTF-8."""
    value = os.fsencode(argument)
    try:
        value.decode()
    except UnicodeDecodeError:
        return value, DEFAULT_CONTENT_TYPE
    return value, TEXT_CONTENT_TYPE
