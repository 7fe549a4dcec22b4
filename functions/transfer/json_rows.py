"""Read JSON lines: one object on each line; blank lines are ignored.

    {"key": "a", "content_type": "text/plain", "text": "hi", "revision": 7, "version": 1}
    {"key": "b", "base64": "AAH/", "expires": "2030-01-01T00:00:00Z"}

``text`` or ``base64`` is the value. ``content_type``, ``expires`` (RFC 3339), ``ttl`` (seconds) and
``meta`` (an object of texts) may be missing; ``revision`` and ``version`` are those of the exported
store and are ignored.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
from typing import Final

import msgspec

from rundlet_server.functions.transfer.reading import LineReader
from rundlet_server.functions.transfer.rows import (
    BadRow,
    Rows,
    encoded_text,
    expiry_of,
    metadata_given,
)
from rundlet_server.storage.clock import system_clock_us
from rundlet_server.storage.interface import DEFAULT_CONTENT_TYPE, TEXT_CONTENT_TYPE

_MEMBERS: Final = frozenset(
    {"key", "text", "base64", "content_type", "expires", "ttl", "meta", "revision", "version"}
)


class _Line(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    key: str
    text: str | None = None
    base64: bytes | None = None
    content_type: str | None = None
    expires: str | None = None
    ttl: float | None = None
    meta: dict[str, str] | None = None
    revision: int = 0
    version: int = 0


_DECODER: Final = msgspec.json.Decoder(_Line)


class JsonReader(LineReader):
    """Reads JSON lines."""

    def parsed(self, block: bytes, line: int) -> Rows:
        """See ``LineReader``."""
        found = Rows()
        rules, now_us = self.rules, system_clock_us()
        for number, data in enumerate(block.split(b"\n"), start=line):
            if data.strip():
                try:
                    read = _decoded(data)
                    value, content_type = _value(read)
                    row = rules.row(read.key, value, read.content_type or content_type)
                    expires_us = expiry_of(read.expires, read.ttl, now_us)
                    metadata = metadata_given(read.meta)
                except BadRow as ex:
                    found.refuse(number, str(ex))
                else:
                    found.add(number, row, expires_us, metadata)
        return found


def _value(read: _Line) -> tuple[bytes, str]:
    """Return the value, and its content type if the line names none."""
    if read.text is not None and read.base64 is None:
        return encoded_text("text", read.text), TEXT_CONTENT_TYPE
    if read.base64 is not None and read.text is None:
        return read.base64, DEFAULT_CONTENT_TYPE
    raise BadRow("exactly one of 'text' and 'base64' is needed")


def _decoded(data: bytes) -> _Line:
    try:
        return _DECODER.decode(data)
    except (msgspec.MsgspecError, UnicodeError, ValueError, RecursionError):
        return _explained(data)


def _explained(data: bytes) -> _Line:
    """Read a line that the fast decoder rejects, or report what is wrong with it.

    Raises:
        BadRow: the line is not a valid row.
    """
    try:
        members = json.loads(data)
    except (ValueError, RecursionError) as ex:
        raise BadRow(f"not JSON: {ex}") from ex
    if not isinstance(members, dict):
        raise BadRow("not a JSON object")
    unknown = sorted(members.keys() - _MEMBERS)
    if unknown:
        raise BadRow(f"unknown member {unknown[0]!r}")
    read = _Line(_text(members, "key") or "")
    if not read.key:
        raise BadRow("'key' is missing or not text")
    read.text = _text(members, "text")
    encoded = _text(members, "base64")
    read.base64 = None if encoded is None else _decoded_base64(encoded)
    read.content_type = _text(members, "content_type")
    read.expires = _text(members, "expires")
    ttl = members.get("ttl")
    if ttl is not None:
        is_number = isinstance(ttl, int | float) and not isinstance(ttl, bool)
        read.ttl = float(ttl) if is_number and abs(ttl) < 1e300 else math.nan
    read.meta = dict(metadata_given(members.get("meta")))
    return read


def _text(members: dict[str, object], name: str) -> str | None:
    member = members.get(name)
    if member is None or isinstance(member, str):
        return member
    raise BadRow(f"{name!r} is missing or not text")


def _decoded_base64(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as ex:
        raise BadRow(f"'base64' is broken: {ex}") from ex
