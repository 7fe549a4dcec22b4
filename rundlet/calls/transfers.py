"""Exports and imports: the operations that move whole stores."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate, takewhile
from typing import Final, Literal
from urllib.parse import urlencode

import cbor2

from rundlet.answers import fields_of
from rundlet.calls.call import Call, Progress, Request, needed
from rundlet.calls.lists import Range
from rundlet.calls.values import put_of
from rundlet.errors import ConnectionFailed, RundletError, ServerError, TooLarge
from rundlet.keys import key_bytes
from rundlet.model import Put, Value
from rundlet.wire import ACCEPTED_TYPES, Fields, bytes_of, decode_item

ExportFormat = Literal["jsonl", "csv", "cbor-seq"]
OnConflict = Literal["replace", "skip", "fail"]

CBOR_SEQUENCE: Final = "application/cbor-seq"
_PIECE_BYTES: Final = 4 * 1024 * 1024
_PIECE_ROWS: Final = 50_000
_ENDS: Final = {"jsonl": b"}\n", "csv": b"\n"}


@dataclass(frozen=True, slots=True)
class Imported:
    """The result of an import.

    Attributes:
        imported: number of stored rows.
        skipped: number of rows that had expired, or whose key already had a value.
        revision: of the store after the import.
    """

    imported: int = 0
    skipped: int = 0
    revision: int = 0


def export_request(export_format: str, keys: Range) -> Request:
    """Return the request for an export, whose answer is read piece by piece."""
    given = {name: text for name, text in keys.options().items() if text is not None}
    return Request("GET", f"/v1/export?{urlencode({'format': export_format} | given)}", False)


class Values:
    """The values in the pieces of an export in CBOR."""

    def __init__(self) -> None:
        self._items = _Items()

    def feed(self, piece: bytes) -> Iterator[Value]:
        """Yield the values that are complete now."""
        return map(_value_of, self._items.feed(piece))

    def end(self) -> Iterator[Value]:
        """Yield the last values; raise ``ConnectionFailed`` if the export is incomplete."""
        return map(_value_of, self._items.end())


class CountedPieces:
    """Reports the progress of an export of bytes, and checks that it is complete."""

    def __init__(self, export_format: str, progress: Progress | None) -> None:
        self._counter = RowCounter(export_format)
        self._progress = progress or (lambda _: None)

    def feed(self, piece: bytes) -> None:
        """Count the rows of a piece."""
        self._counter.feed(piece)
        self._progress(self._counter.count)

    def end(self) -> None:
        """Raise ``ConnectionFailed`` if the export is incomplete."""
        self._counter.end()
        self._progress(self._counter.count)


class Importing:
    """Stores rows that are added one by one, in requests of a few megabytes."""

    def __init__(self, on_conflict: OnConflict, progress: Progress | None) -> None:
        self._on_conflict = on_conflict
        self._progress = progress
        self._done = Imported()
        self._count = 0
        self._rows: list[bytes] = []
        self._bytes = 0
        self._bytes_max = _PIECE_BYTES

    def add(self, row: Put | Value) -> Call[None] | None:
        """Add a row."""
        item = _encoded(row)
        if self._rows and self._bytes + len(item) > self._bytes_max:
            return self._send_before(item)
        self._rows.append(item)
        self._bytes += len(item)
        return self._send() if len(self._rows) == _PIECE_ROWS else None

    def end(self) -> Call[Imported]:
        """Store the last rows."""
        yield from self._send()
        return self._done

    def _send_before(self, item: bytes) -> Call[None]:
        yield from self._send()
        self._rows.append(item)
        self._bytes += len(item)

    def _send(self) -> Call[None]:
        rows, self._rows, self._bytes = self._rows, [], 0
        while rows:
            some = _fitting(rows, self._bytes_max)
            body = b"".join(some)
            try:
                part = yield from import_bytes(body, CBOR_SEQUENCE, on_conflict=self._on_conflict)
            except RundletError as ex:
                if isinstance(ex, TooLarge) and not ex.line and len(some) > 1:
                    self._bytes_max = len(body) // 2  # the server allows less than usual
                    continue
                # Relative to all rows, not to this request.
                ex.imported += self._done.imported
                ex.line += self._count if ex.line else 0
                raise
            self._done = Imported(
                self._done.imported + part.imported,
                self._done.skipped + part.skipped,
                part.revision,
            )
            self._count += len(some)
            rows = rows[len(some) :]
            if self._progress:
                self._progress(self._count)


class Setting:
    """Stores values that are added one by one under their keys."""

    def __init__(
        self, ttl: float | None, content_type: str | None, progress: Progress | None
    ) -> None:
        self._ttl = ttl
        self._content_type = content_type
        self._importing = Importing("replace", progress)

    def add(self, row: tuple[str, bytes | str]) -> Call[None] | None:
        """Add a key and its value."""
        key, value = row
        put = put_of(key, value, ttl=self._ttl, content_type=self._content_type)
        return self._importing.add(put)

    def end(self) -> Call[int]:
        """Store the last values; return how many of all are stored."""
        imported = yield from self._importing.end()
        return imported.imported


def import_bytes(
    body: bytes, content_type: str, *, on_conflict: OnConflict, any_key: bool = False
) -> Call[Imported]:
    """Store the rows of a part of a file, in one request."""
    query = {"on_conflict": on_conflict} | ({"any_key": "true"} if any_key else {})
    headers = {"Content-Type": content_type, "Accept": ACCEPTED_TYPES}
    # With 'replace' a retry is safe: it stores the same values again.
    is_write = on_conflict != "replace"
    response = yield Request("POST", f"/v1/import?{urlencode(query)}", is_write, headers, body)
    fields = fields_of(needed(response))
    return Imported(fields.number("imported"), fields.number("skipped"), fields.number("revision"))


def _fitting(rows: list[bytes], bytes_max: int) -> list[bytes]:
    """Return the first rows that together have at most ``bytes_max``, but at least one."""
    sizes = accumulate(map(len, rows))
    return rows[: max(1, sum(1 for _ in takewhile(lambda size: size <= bytes_max, sizes)))]


def _encoded(row: Put | Value) -> bytes:
    key_bytes(row.key)
    members: dict[str, object] = {"key": row.key, "content_type": row.content_type}
    if isinstance(row, Put):
        if row.ttl is not None:
            members["ttl"] = row.ttl
    elif row.expires is not None:
        members["expires"] = row.expires.isoformat()
    if row.meta:
        members["meta"] = dict(row.meta)
    members["value"] = bytes_of(row.value if isinstance(row, Put) else row.data)
    return cbor2.dumps(members)


def _value_of(members: object) -> Value:
    value = decode_item(Fields(members))
    if value is None:
        raise ServerError("the export has a row without a value; is this a Rundlet server?")
    return value


class RowCounter:
    """Counts the rows of an export, and checks that it is complete.

    Attributes:
        count: rows so far.
    """

    def __init__(self, export_format: str) -> None:
        self.count = 0
        self._format = export_format
        self._items = _Items()
        self._last = b""
        self._is_quoted = False
        self._is_begun = export_format != "csv"

    def feed(self, piece: bytes) -> None:
        """Count the rows of the next piece."""
        if self._format == "cbor-seq":
            self.count += sum(1 for _ in self._items.feed(piece))
            return
        self._last = (self._last + piece[-2:])[-2:]
        self.count += piece.count(b"\n") if self._format == "jsonl" else self._csv_rows(piece)

    def end(self) -> None:
        """Raise ``ConnectionFailed`` if the last row is incomplete."""
        if self._format == "cbor-seq":
            self.count += sum(1 for _ in self._items.end())
        elif self._last and not self._last.endswith(_ENDS[self._format]):
            raise _broken()

    def _csv_rows(self, piece: bytes) -> int:
        """Count the ends of rows: line feeds outside of quotes, except the header's."""
        parts = piece.split(b'"')
        count = sum(part.count(b"\n") for part in parts[int(self._is_quoted) :: 2])
        self._is_quoted ^= len(parts) % 2 == 0
        if count and not self._is_begun:
            self._is_begun = True
            return count - 1
        return count


class _Items:
    """Decodes the items of a CBOR sequence while they arrive."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._wanted = 0

    def feed(self, data: bytes) -> Iterator[object]:
        """Yield the items that are complete now."""
        self._buffer += data
        if len(self._buffer) < self._wanted:
            return
        stream = io.BytesIO(self._buffer)
        size = len(self._buffer)
        end = 0
        while end < size:
            stream.seek(end)
            try:
                item = cbor2.CBORDecoder(stream).decode()
            except cbor2.CBORDecodeEOF:
                break
            except cbor2.CBORError as ex:
                raise _broken() from ex
            end = stream.tell()
            yield item
        del self._buffer[:end]
        # Wait for twice as much, so that a large item is not decoded again for each of its pieces.
        self._wanted = 2 * len(self._buffer)

    def end(self) -> Iterator[object]:
        """Yield the last items; the last one must be complete."""
        self._wanted = 0
        yield from self.feed(b"")
        if self._buffer:
            raise _broken()


def _broken() -> ConnectionFailed:
    return ConnectionFailed("the server broke off the export; its log says why")
