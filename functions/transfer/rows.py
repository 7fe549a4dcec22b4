"""Rows to store, as every reader returns them."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple

from rundlet_server.storage.bounds import (
    CONTENT_TYPE_BYTES_MAX,
    EXPIRES_US_MAX,
    LARGE_VALUE_BYTES,
    TTL_S_MAX,
)
from rundlet_server.storage.errors import InvalidRequest
from rundlet_server.storage.interface import Limits, Row
from rundlet_server.storage.metadata import NO_METADATA, Metadata, metadata_of

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_ESCAPE_BYTES: Final = 6
_BAD_MAX: Final = 5
_MARGIN_BYTES: Final = 4_096
_HEADER_SAFE: Final = re.compile(r"[\t\x20-\x7e]*")


class BadRow(ValueError):
    """A row that cannot be stored; the message is the reason, one clause."""


class Bad(NamedTuple):
    """The place of a row that cannot be stored, and the reason.

    Attributes:
        line: its first line in the file, from 1; in a CBOR sequence, the number of the item.
        reason: one clause.
    """

    line: int
    reason: str


@dataclass(slots=True)
class Rows:
    """Rows of a part of a file, in its order.

    Attributes:
        rows: the good rows.
        lines: the line of each good row.
        expires_us: times of expiry, by index in ``rows``.
        metadata: metadata of rows, by index in ``rows``.
        bad: the first few bad rows, in order.
        bad_count: number of all bad rows.
    """

    rows: list[Row] = field(default_factory=list)
    lines: list[int] | range = field(default_factory=list)
    expires_us: dict[int, int] = field(default_factory=dict)
    bad: list[Bad] = field(default_factory=list)
    bad_count: int = 0
    metadata: dict[int, Metadata] = field(default_factory=dict)

    def refuse(self, line: int, reason: str) -> None:
        """Count a bad row."""
        self.bad_count += 1
        if len(self.bad) < _BAD_MAX:
            self.bad.append(Bad(line, reason))

    def add(
        self, line: int, row: Row, expires_us: int | None, metadata: Metadata = NO_METADATA
    ) -> None:
        """Add a good row."""
        assert isinstance(self.lines, list)
        if expires_us is not None:
            self.expires_us[len(self.rows)] = expires_us
        if metadata:
            self.metadata[len(self.rows)] = metadata
        self.rows.append(row)
        self.lines.append(line)

    def extend(self, others: Rows, begin: int, end: int) -> None:
        """Add the good rows from ``begin`` to ``end`` of a later part."""
        assert isinstance(self.lines, list)
        ahead, places = len(self.rows) - begin, range(begin, end)
        times, texts = others.expires_us, others.metadata
        if times:
            self.expires_us |= {ahead + place: times[place] for place in places if place in times}
        if texts:
            self.metadata |= {ahead + place: texts[place] for place in places if place in texts}
        self.rows += others.rows[begin:end]
        self.lines += others.lines[begin:end]

    def before(self, line: int) -> Rows:
        """Return the good rows before a line."""
        count = sum(number < line for number in self.lines)
        return self.first(count)

    def first(self, count: int) -> Rows:
        """Return the first ``count`` good rows."""
        expires_us = {place: time for place, time in self.expires_us.items() if place < count}
        metadata = {place: texts for place, texts in self.metadata.items() if place < count}
        return Rows(self.rows[:count], self.lines[:count], expires_us, metadata=metadata)


@dataclass(frozen=True, slots=True)
class Rules:
    """The rules for good rows.

    Attributes:
        limits: of the store.
        any_key: in lines of text, keys need not be UUIDs.
        strip_cr: lines of text end in CRLF; the carriage return is not part of the value.
    """

    limits: Limits
    any_key: bool = False
    strip_cr: bool = False

    @property
    def row_bytes_max(self) -> int:
        """Maximum bytes of a row; a reader keeps no more of an incomplete row."""
        limits = self.limits
        short = _ESCAPE_BYTES * min(limits.value_bytes_max, LARGE_VALUE_BYTES)
        value = max(2 * limits.value_bytes_max, short)
        return (
            _ESCAPE_BYTES * (limits.key_bytes_max + CONTENT_TYPE_BYTES_MAX) + value + _MARGIN_BYTES
        )

    def row(self, key: str, value: bytes, content_type: str) -> Row:
        """Return a row.

        Raises:
            BadRow: the row exceeds a limit of the store, or is invalid.
        """
        encoded = encoded_text("key", key)
        size_max = self.limits.key_bytes_max
        if not encoded:
            raise BadRow("the key is empty or not encodable as UTF-8")
        if len(encoded) > size_max:
            raise BadRow(f"the key has {len(encoded)} bytes, at most {size_max} are allowed")
        value_max = self.limits.value_bytes_max
        if len(value) > value_max:
            raise BadRow(f"the value has {len(value)} bytes, at most {value_max} are allowed")
        if not is_content_type(content_type):
            raise BadRow("'content_type' is not printable ASCII text of a sensible length")
        return encoded, value, content_type


def metadata_given(texts: object) -> Metadata:
    """Return the metadata of a row.

    Raises:
        BadRow: a store does not accept the metadata.
    """
    if texts is None:
        return NO_METADATA
    if not isinstance(texts, dict) or not all(isinstance(text, str) for text in texts.values()):
        raise BadRow("'meta' is no object of texts")
    try:
        return metadata_of(texts)
    except InvalidRequest as ex:
        raise BadRow(f"'meta' cannot be stored: {ex}") from ex


def is_content_type(text: str) -> bool:
    """Return whether a text can be a content type that a server sends in a header."""
    return len(text) <= CONTENT_TYPE_BYTES_MAX and _HEADER_SAFE.fullmatch(text) is not None


def encoded_text(name: str, text: str) -> bytes:
    """Return text as UTF-8.

    Raises:
        BadRow: the text has no UTF-8 form.
    """
    try:
        return text.encode()
    except UnicodeEncodeError:
        if name == "key":
            raise BadRow("the key is empty or not encodable as UTF-8") from None
        raise BadRow(f"'{name}' is not encodable as UTF-8") from None


def expiry_of(expires: str | None, ttl: float | None, now_us: int) -> int | None:
    """Return the time of expiry of a row in microseconds, from ``expires`` or ``ttl``.

    Raises:
        BadRow: the row has both, or one is invalid.
    """
    if expires is None:
        if ttl is None:
            return None
        if not 0 < ttl <= TTL_S_MAX:
            raise BadRow("'ttl' is not a number of seconds above 0, and at most 100 years")
        return now_us + max(1, round(ttl * 1_000_000))
    if ttl is not None:
        raise BadRow("both 'ttl' and 'expires'")
    return time_us_of(expires)


def time_us_of(text: str) -> int:
    """Return an RFC 3339 time in microseconds since the epoch.

    Raises:
        BadRow: the text is not such a time, or is out of range.
    """
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise BadRow("'expires' is not an RFC 3339 time with a time zone")
    time_us = (moment - EPOCH) // _MICROSECOND
    if time_us > EXPIRES_US_MAX:
        raise BadRow("'expires' is after the year 9999")
    return max(1, time_us)
