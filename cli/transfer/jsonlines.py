"""Keys and values as JSON lines: what ``export`` writes, ``import`` and ``mset`` read.

One object per line::

    {"key": "a", "content_type": "text/plain", "text": "hi", "revision": 7, "version": 1}
    {"key": "b", "base64": "AAH/", "expires": "2030-01-01T00:00:00Z"}

``text`` or ``base64`` is the value. ``content_type``, ``expires`` (RFC 3339), ``ttl``
(seconds) and ``meta`` (an object of texts) may be missing; ``revision`` and ``version`` are those
of the exported store and are ignored.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from rundlet import DEFAULT_CONTENT_TYPE, TEXT_CONTENT_TYPE, Put, Value
from rundlet_server.cli.show.values import is_content_type
from rundlet_server.storage.bounds import TTL_S_MAX

_MEMBERS = frozenset(
    {"key", "text", "base64", "content_type", "expires", "ttl", "meta", "revision", "version"}
)
_CLOCK_SKEW_S_MAX = 86_400
"""The clock of the server that a line was exported from may be ahead of this one by a day."""


@dataclass(frozen=True, slots=True)
class Row:
    """One key and value of a line; at most one of ``ttl`` and ``expires`` is given."""

    key: str
    value: bytes
    content_type: str
    ttl: float | None = None
    expires: datetime | None = None
    meta: Mapping[str, str] = field(default_factory=dict, hash=False)

    def put(self, now: datetime) -> Put | None:
        """Return the write that stores the row; ``None`` if it has expired already.

        Raises:
            BadLine: the time of expiry is later than any store allows.
        """
        ttl = self.ttl
        if self.expires is not None:
            ttl = (self.expires - now).total_seconds()
            if ttl <= 0:
                return None
            if TTL_S_MAX < ttl <= TTL_S_MAX + _CLOCK_SKEW_S_MAX:
                ttl = TTL_S_MAX
        if ttl is not None and ttl > TTL_S_MAX:
            message = "it expires in more than 100 years; leave the time out to keep it for ever"
            raise BadLine(message)
        return Put(self.key, self.value, self.content_type, ttl, self.meta)


class BadLine(ValueError):
    """A line that is not a row; the message is the reason, one clause."""


def value_members(value: Value) -> dict[str, object]:
    """Return the members of a value's line, in an order for people."""
    members: dict[str, object] = {"key": value.key, "content_type": value.content_type}
    members |= data_members(value.data, value.content_type)
    if value.expires is not None:
        members["expires"] = value.expires.isoformat().replace("+00:00", "Z")
    if value.meta:
        members["meta"] = dict(value.meta)
    return members | {"revision": value.revision, "version": value.version}


def read_rows(lines: Iterable[bytes]) -> Iterator[tuple[int, Row | BadLine]]:
    """Yield the rows of a file with the numbers of their lines from 1; skip blank lines."""
    for number, line in enumerate(lines, start=1):
        if line.strip():
            try:
                yield number, row_of(line)
            except BadLine as ex:
                yield number, ex


def row_of(line: bytes) -> Row:
    """Read one line.

    Raises:
        BadLine: the line is not a row.
    """
    try:
        members = json.loads(line)
    except (ValueError, RecursionError) as ex:
        message = f"not JSON: {ex}"
        raise BadLine(message) from ex
    if not isinstance(members, dict):
        message = "not a JSON object"
        raise BadLine(message)
    return row_of_members(members)


def row_of_members(members: dict[str, object]) -> Row:
    """Read the members of a line.

    Raises:
        BadLine: the members are not those of a row.
    """
    unknown = sorted(members.keys() - _MEMBERS)
    if unknown:
        message = f"unknown member {unknown[0]!r}"
        raise BadLine(message)
    return _row(members)


def _row(members: dict[str, object]) -> Row:
    key = _text(members, "key")
    if not key or not _is_encodable(key):
        message = "the key is empty or not encodable as UTF-8"
        raise BadLine(message)
    value, default_type = _decoded_value(members)
    content_type = members.get("content_type") or default_type
    if not isinstance(content_type, str) or not is_content_type(content_type):
        message = "'content_type' is not printable ASCII text of a sensible length"
        raise BadLine(message)
    ttl, expires = _ttl(members), _expires(members)
    if ttl is not None and expires is not None:
        message = "both 'ttl' and 'expires'"
        raise BadLine(message)
    return Row(key, value, content_type, ttl, expires, _metadata(members.get("meta")))


def data_members(data: bytes, content_type: str) -> dict[str, object]:
    """Return the bytes of a value as ``text`` if it is text, else as ``base64``."""
    media_type = content_type.partition(";")[0].strip().lower()
    if media_type.startswith("text/") or media_type == "application/json":
        try:
            return {"text": data.decode()}
        except UnicodeDecodeError:
            pass
    return {"base64": base64.b64encode(data).decode("ascii")}


def _decoded_value(members: dict[str, object]) -> tuple[bytes, str]:
    """Return the value, and its content type if the line names none."""
    if ("text" in members) == ("base64" in members):
        message = "exactly one of 'text' and 'base64' is needed"
        raise BadLine(message)
    if "text" in members:
        text = _text(members, "text")
        if not _is_encodable(text):
            message = "'text' is not encodable as UTF-8"
            raise BadLine(message)
        return text.encode(), TEXT_CONTENT_TYPE
    try:
        return base64.b64decode(_text(members, "base64"), validate=True), DEFAULT_CONTENT_TYPE
    except (binascii.Error, ValueError) as ex:
        message = f"'base64' is broken: {ex}"
        raise BadLine(message) from ex


def _metadata(texts: object) -> Mapping[str, str]:
    if texts is None:
        return {}
    if not isinstance(texts, dict) or not all(isinstance(text, str) for text in texts.values()):
        message = "'meta' is no object of texts"
        raise BadLine(message)
    return texts


def _text(members: dict[str, object], name: str) -> str:
    member = members.get(name)
    if isinstance(member, str):
        return member
    message = f"{name!r} is missing or not text"
    raise BadLine(message)


def _ttl(members: dict[str, object]) -> float | None:
    ttl = members.get("ttl")
    if ttl is None:
        return None
    if isinstance(ttl, int | float) and not isinstance(ttl, bool) and 0 < ttl < math.inf:
        return float(ttl)
    message = "'ttl' is not a number of seconds above 0"
    raise BadLine(message)


def _expires(members: dict[str, object]) -> datetime | None:
    expires = members.get("expires")
    if expires is None:
        return None
    try:
        moment = datetime.fromisoformat(str(expires))
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        message = "'expires' is not an RFC 3339 time with a time zone"
        raise BadLine(message)
    return moment


def _is_encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
