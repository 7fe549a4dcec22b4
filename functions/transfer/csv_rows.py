"""Read CSV: a header with some or all of ``formats.CSV_COLUMNS``, then a row for each key.

Columns may come in any order, and all but ``key`` and ``value`` may be missing. Fields are quoted
as RFC 4180 says; a field in quotes may hold line feeds, so that a row may take several lines. Lines
end with LF or CRLF. ``encoding`` is ``text``, also if it is empty, or ``base64``; ``meta`` is a
JSON object of texts.
"""

from __future__ import annotations

import base64
import binascii
import csv
import json
import sys
from collections.abc import Iterator, Mapping, Sequence

from rundlet_server.functions.transfer.formats import CSV_COLUMNS
from rundlet_server.functions.transfer.reading import LineReader
from rundlet_server.functions.transfer.rows import (
    BadRow,
    Rows,
    Rules,
    encoded_text,
    expiry_of,
    metadata_given,
)
from rundlet_server.storage.interface import DEFAULT_CONTENT_TYPE, TEXT_CONTENT_TYPE
from rundlet_server.storage.metadata import NO_METADATA, Metadata

_NEEDED = ("key", "value")


class CsvReader(LineReader):
    """Reads CSV."""

    def __init__(self, rules: Rules) -> None:
        super().__init__(rules)
        csv.field_size_limit(sys.maxsize)  # of the whole process; rows are bounded here
        self._is_quoted = False
        self._columns: Mapping[str, int] | None = None

    def _last_end(self, data: bytes) -> int:
        """Return the end of the last row: a line feed after an even number of quotes.

        Quotes within a field are doubled, so an odd number of quotes means that a field is open.
        """
        is_quoted = self._is_quoted ^ bool(data.count(b'"') & 1)
        self._is_quoted = is_quoted
        behind = len(data)
        while (place := data.rfind(b"\n", 0, behind)) >= 0:
            is_quoted ^= bool(data.count(b'"', place, behind) & 1)
            if not is_quoted:
                return place + 1
            behind = place
        return 0

    def _first_end(self, data: bytes) -> int:
        """Return the assumed end of a row that is too long: its quotes may be wrong."""
        return len(data)

    def parsed(self, block: bytes, line: int) -> Rows:
        """See ``LineReader``."""
        found = Rows()
        try:
            text = block.decode()
        except UnicodeDecodeError as ex:
            number = line + block.count(b"\n", 0, ex.start)
            found = self.parsed(block[: block.rfind(b"\n", 0, ex.start) + 1], line)
            self._refuse(found, number, "the line is not valid UTF-8")
            return found
        reader = csv.reader(_lines(text), strict=True)
        first = line
        while True:
            try:
                fields = next(reader, None)
                if fields is None:
                    return found
                if fields:
                    self._take(found, first, fields)
            except csv.Error as ex:
                self._refuse(found, first, f"not CSV: {ex}")
            except BadRow as ex:
                self._refuse(found, first, str(ex))
            first = line + reader.line_num

    def _dropped(self) -> Rows:
        self._miss_header()
        return super()._dropped()

    def _refuse(self, found: Rows, line: int, reason: str) -> None:
        self._miss_header()
        found.refuse(line, reason)

    def _miss_header(self) -> None:
        """Note that a row is bad: if it is the header, the rows after it have none."""
        if self._columns is None:
            self._columns = {}

    def _take(self, found: Rows, line: int, fields: Sequence[str]) -> None:
        columns = self._columns
        if columns is None:
            self._columns = _columns_of(fields)
            return
        if not columns:
            raise BadRow("there is no header that could be read")
        if len(fields) != len(columns):
            raise BadRow(f"{len(fields)} fields, where the header has {len(columns)}")

        def field(name: str) -> str:
            place = columns.get(name)
            return "" if place is None else fields[place]

        value, usual_type = _value(field("encoding"), field("value"))
        row = self.rules.row(field("key"), value, field("content_type") or usual_type)
        expires_us = expiry_of(field("expires") or None, None, 0)
        found.add(line, row, expires_us, _metadata(field("meta")))


def _columns_of(fields: Sequence[str]) -> dict[str, int]:
    names = [name.strip().lower() for name in fields]
    unknown = [name for name in names if name not in CSV_COLUMNS]
    missing = [name for name in _NEEDED if name not in names]
    if unknown or missing or len(set(names)) < len(names):
        raise BadRow(f"the header is not {','.join(CSV_COLUMNS)} or a part of it")
    return {name: place for place, name in enumerate(names)}


def _value(encoding: str, text: str) -> tuple[bytes, str]:
    if encoding in ("text", ""):
        return encoded_text("value", text), TEXT_CONTENT_TYPE
    if encoding != "base64":
        raise BadRow("'encoding' is neither text nor base64")
    try:
        return base64.b64decode(text, validate=True), DEFAULT_CONTENT_TYPE
    except (binascii.Error, ValueError) as ex:
        raise BadRow(f"'value' is broken base64: {ex}") from ex


def _metadata(text: str) -> Metadata:
    if not text:
        return NO_METADATA
    try:
        texts = json.loads(text)
    except (ValueError, RecursionError) as ex:
        raise BadRow(f"'meta' is not JSON: {ex}") from ex
    return metadata_given(texts)


def _lines(text: str) -> Iterator[str]:
    """Yield lines for ``csv``; only a line feed ends a line, not a carriage return alone."""
    start = 0
    while (end := text.find("\n", start) + 1) > 0:
        yield text[start:end]
        start = end
    if start < len(text):
        yield text[start:]
