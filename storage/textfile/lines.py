r"""The rules for one line of a key-value text file.

      KEY SP VALUE LF

KEY is a UUID of version 4 in its canonical form: lower-case hexadecimal digits in groups of
8, 4, 4, 4 and 12, the third starting with ``4``, the fourth with ``8``, ``9``, ``a`` or ``b``.
With *any key* it is any legal key without a space; but a JSON object is a bad line, because it
comes from a file of JSON lines, and its key would be a fragment such as ``{"key":``. VALUE is every
byte up to the newline, spaces and ``\r`` among them, possibly none. The last newline of a file may
be missing.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

from rundlet_server.storage.errors import InvalidRequest
from rundlet_server.storage.interface import DEFAULT_CONTENT_TYPE, TEXT_CONTENT_TYPE, Limits

UUID_SIZE: Final = 36
"""Bytes of a UUID in its canonical form."""

_UUID: Final = re.compile(rb"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
_UUID_OF_ANY_KIND: Final = re.compile(rb"[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")
_TAB_REASON: Final = "a tab follows the key; one space belongs there"
_JSON_HEAD: Final = re.compile(rb'\[?\s*\{\s*"(?:[^"\\]|\\.)*+"\s*:')
_JSON_REASON: Final = (
    "the line is JSON, not a key, a space and a value; rundlet import --format jsonl loads JSON"
    " lines"
)
JSON_STARTS: Final = b"{["
"""The first bytes of the lines that ``is_json`` may find."""
_SHOWN_BYTES_MAX: Final = 48
_DEFAULT_LIMITS: Final = Limits()


class BadLine(NamedTuple):
    """A line that is not a key and a value; as text ``file:line: reason``.

    Attributes:
        number: of the line in its file, from 1.
        reason: what is wrong with it, one clause.
    """

    path: Path
    number: int
    reason: str

    def __str__(self) -> str:
        return f"{self.path}:{self.number}: {self.reason}"


class BadFile(InvalidRequest):
    """A text file with bad lines, which were not to be skipped; nothing of it was used.

    Attributes:
        bad: how many lines are bad.
        first_errors: the first of them.
    """

    def __init__(self, bad: int, first_errors: Sequence[BadLine]) -> None:
        more = f" (the first of {bad} bad lines)" if bad > 1 else ""
        super().__init__(f"{first_errors[0]}{more}; nothing was loaded")
        self.bad = bad
        self.first_errors = tuple(first_errors)


class LineError(ValueError):
    """A line is bad; the text says why."""


def split_line(
    line: bytes, *, any_key: bool = False, limits: Limits = _DEFAULT_LIMITS
) -> tuple[bytes, bytes]:
    """Return the key and the value of a line, given without its newline.

    Raises:
        LineError: it is a bad line.
    """
    if not line:
        raise LineError("the line is empty")
    if is_json(line):
        raise LineError(_JSON_REASON)
    key, space, value = line.partition(b" ")
    if any_key:
        _check_any_key(key, limits)
    elif not _UUID.fullmatch(key):
        raise LineError(_why_no_uuid(key))
    if not space:
        raise LineError(_TAB_REASON if b"\t" in key else "there is no space after the key")
    if len(value) > limits.value_bytes_max:
        raise LineError(f"the value is longer than {limits.value_bytes_max} bytes")
    return key, value


def is_json(line: bytes) -> bool:
    """Return whether a line looks like a JSON object, or like one in an array.

    Its ends decide: parsing all of a long line would take many times its size in memory.
    """
    if not line or line[0] not in JSON_STARTS:
        return False
    return line.rstrip(b" \t\r,").endswith((b"}", b"]")) and _JSON_HEAD.match(line) is not None


def content_type_of(value: bytes) -> str:
    """Return text for a value that is valid UTF-8, otherwise just bytes."""
    return TEXT_CONTENT_TYPE if is_utf8(value) else DEFAULT_CONTENT_TYPE


def is_utf8(data: bytes) -> bool:
    """Return whether the bytes are valid UTF-8."""
    if data.isascii():
        return True
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def _check_any_key(key: bytes, limits: Limits) -> None:
    if not key:
        raise LineError("there is no key in front of the space")
    if len(key) > limits.key_bytes_max:
        raise LineError(f"the key is longer than {limits.key_bytes_max} bytes")
    if not is_utf8(key):
        raise LineError("the key is not valid UTF-8")


def _why_no_uuid(key: bytes) -> str:
    if not key:
        return "there is no key in front of the space"
    if _UUID.fullmatch(key.partition(b"\t")[0]):
        return _TAB_REASON
    if not _UUID_OF_ANY_KIND.fullmatch(key):
        shown = ascii(key[:_SHOWN_BYTES_MAX].decode("latin-1"))
        more = " ..." if len(key) > _SHOWN_BYTES_MAX else ""
        return f"{shown}{more} is not a UUID (--any-key takes other keys)"
    if _UUID.fullmatch(key.lower()):
        return "the UUID has capital letters; the canonical form has none"
    return "the UUID is not of version 4"
