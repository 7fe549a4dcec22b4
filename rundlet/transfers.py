"""Exports and imports over HTTP: the part of the client that moves whole stores."""

from __future__ import annotations

import io
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal
from urllib.parse import urlencode

import cbor2
import httpx

from rundlet.answers import fields_of, header_number
from rundlet.errors import ConnectionFailed, RundletError, ServerError
from rundlet.keys import key_bytes
from rundlet.model import Put, Value
from rundlet.transport import Request
from rundlet.wire import ACCEPTED_TYPES, Fields, decode_item

ExportFormat = Literal["jsonl", "csv", "cbor-seq"]
OnConflict = Literal["replace", "skip", "fail"]

CBOR_SEQUENCE: Final = "application/cbor-seq"
_PIECE_BYTES: Final = 4 * 1024 * 1024
_PIECE_ROWS: Final = 50_000
_ENDS: Final = {"jsonl": b"}\n", "csv": b"\n"}


@dataclass(frozen=True, slots=True)
class Imported:
    """What an import did.

    Attributes:
        imported: rows that are stored.
        skipped: rows that were left out: they had expired, or their key has a value.
        revision: of the store after it.
    """

    imported: int = 0
    skipped: int = 0
    revision: int = 0


class TransferCalls(ABC):
    """The methods of ``Client`` that export and import."""

    def export(
        self, *, prefix: str = "", revision: int | None = None, at: datetime | None = None
    ) -> Iterator[Value]:
        """Yield all keys and values of one snapshot in order, however many there are.

        The whole of an export is one answer, which is read as it is used. For many keys this is
        faster than ``scan``.

        Args:
            prefix: only keys that start with this.
            revision: as of this revision; by default the newest.
            at: as of this time instead.

        Raises:
            Compacted: the history that is kept no longer reaches so far.
            ConnectionFailed: it broke off; what was yielded is not the whole.
        """
        items = _Items()
        for piece in self._export_pieces("cbor-seq", prefix, revision, at):
            for members in items.feed(piece):
                yield _value_of(members)
        for members in items.end():
            yield _value_of(members)

    def export_bytes(
        self,
        export_format: ExportFormat = "jsonl",
        *,
        prefix: str = "",
        revision: int | None = None,
        at: datetime | None = None,
        progress: Callable[[int], None] | None = None,
    ) -> Iterator[bytes]:
        """Yield the same as the bytes of a file, piece by piece; raises as ``export``.

        Args:
            export_format: of the file.
            prefix: as ``export``.
            revision: as ``export``.
            at: as ``export``.
            progress: called with the number of keys so far, before each piece is yielded and at
                the end.
        """
        counter = RowCounter(export_format)
        for piece in self._export_pieces(export_format, prefix, revision, at):
            counter.feed(piece)
            if progress:
                progress(counter.count)
            yield piece
        counter.end()
        if progress:
            progress(counter.count)

    def import_(
        self,
        rows: Iterable[Put | Value],
        *,
        on_conflict: OnConflict = "replace",
        progress: Callable[[int], None] | None = None,
    ) -> Imported:
        """Store many values, in requests of a few megabytes; this is no transaction.

        ``other.import_(client.export())`` copies a store.

        Args:
            rows: puts, or values, which keep their time of expiry.
            on_conflict: what to do with a key that has a value: replace it, leave the row out, or
                fail.
            progress: called after each request with the number of rows that are done.

        Raises:
            Conflict: with ``fail``, a key has a value.
            RundletError: others; ``imported`` says how many rows are stored.
        """
        done = Imported()
        count = 0
        for body, row_count in _pieces(rows):
            try:
                part = self.import_bytes(body, CBOR_SEQUENCE, on_conflict=on_conflict)
            except RundletError as ex:
                ex.imported += done.imported
                ex.line += count if ex.line else 0
                raise
            done = Imported(
                done.imported + part.imported, done.skipped + part.skipped, part.revision
            )
            count += row_count
            if progress:
                progress(count)
        return done

    def import_bytes(
        self,
        body: bytes,
        content_type: str,
        *,
        on_conflict: OnConflict = "replace",
        any_key: bool = False,
    ) -> Imported:
        """Store the rows of a part of a file, in one request.

        Args:
            body: whole rows, at most as large as the server's ``import_body_bytes_max``.
            content_type: of the format.
            on_conflict: see ``import_``.
            any_key: in lines of text, keys need not be UUIDs.

        Raises:
            BadRequest, Conflict: see ``import_``; ``line`` is that of the row.
        """
        query = {"on_conflict": on_conflict} | ({"any_key": "true"} if any_key else {})
        headers = {"Content-Type": content_type, "Accept": ACCEPTED_TYPES}
        # What replaces may be sent again: it stores the same once more.
        is_write = on_conflict != "replace"
        request = Request("POST", f"/v1/import?{urlencode(query)}", is_write, headers, body)
        fields = fields_of(self._send(request))
        return Imported(
            fields.number("imported"), fields.number("skipped"), fields.number("revision")
        )

    def count(
        self, *, prefix: str = "", revision: int | None = None, at: datetime | None = None
    ) -> int:
        """Return the number of keys with a prefix."""
        query = _query(prefix, revision, at)
        return header_number(
            self._send(Request("HEAD", f"/v1/keys?{urlencode(query)}", False)), "KV-Count"
        )

    def _export_pieces(
        self, export_format: str, prefix: str, revision: int | None, at: datetime | None
    ) -> Iterator[bytes]:
        query = {"format": export_format} | _query(prefix, revision, at)
        with self._stream(Request("GET", f"/v1/export?{urlencode(query)}", False)) as response:
            yield from response.iter_bytes()

    @abstractmethod
    def _send(self, request: Request) -> httpx.Response:
        """Send a request, as ``Client`` does it."""

    @abstractmethod
    def _stream(self, request: Request) -> AbstractContextManager[httpx.Response]:
        """Send a request, as ``Client`` does it."""


def _query(prefix: str, revision: int | None, at: datetime | None) -> dict[str, str]:
    given = {
        "prefix": prefix,
        "rev": "" if revision is None else str(revision),
        "at": "" if at is None else at.isoformat(),
    }
    return {name: text for name, text in given.items() if text}


def _pieces(rows: Iterable[Put | Value]) -> Iterator[tuple[bytes, int]]:
    """Yield bodies of requests, each with the number of its rows."""
    body = io.BytesIO()
    count = 0
    for row in rows:
        item = _encoded(row)
        if count and (body.tell() + len(item) > _PIECE_BYTES or count == _PIECE_ROWS):
            yield body.getvalue(), count
            body, count = io.BytesIO(), 0
        body.write(item)
        count += 1
    if count:
        yield body.getvalue(), count


def _encoded(row: Put | Value) -> bytes:
    key_bytes(row.key)
    is_put = isinstance(row, Put)
    members: dict[str, object] = {"key": row.key, "content_type": row.content_type}
    if isinstance(row, Put):
        if row.ttl is not None:
            members["ttl"] = row.ttl
    elif row.expires is not None:
        members["expires"] = row.expires.isoformat()
    if row.meta:
        members["meta"] = dict(row.meta)
    members["value"] = row.value if is_put else row.data  # type: ignore[union-attr] # as above
    return cbor2.dumps(members)


def _value_of(members: object) -> Value:
    value = decode_item(Fields(members))
    if value is None:
        raise ServerError("the export has a row without a value; is this a Rundlet server?")
    return value


class RowCounter:
    """Counts the rows of an export, and sees whether it is whole.

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
        """Take the next piece."""
        if self._format == "cbor-seq":
            self.count += sum(1 for _ in self._items.feed(piece))
            return
        self._last = (self._last + piece[-2:])[-2:]
        self.count += piece.count(b"\n") if self._format == "jsonl" else self._csv_rows(piece)

    def end(self) -> None:
        """Raise ``ConnectionFailed`` if the last row is not whole."""
        if self._format == "cbor-seq":
            self.count += sum(1 for _ in self._items.end())
        elif self._last and not self._last.endswith(_ENDS[self._format]):
            raise _broken()

    def _csv_rows(self, piece: bytes) -> int:
        """Count the ends of rows: line feeds that are not in quotes, the header's left out."""
        parts = piece.split(b'"')
        count = sum(part.count(b"\n") for part in parts[int(self._is_quoted) :: 2])
        self._is_quoted ^= len(parts) % 2 == 0
        if count and not self._is_begun:
            self._is_begun = True
            return count - 1
        return count


class _Items:
    """The items of a CBOR sequence, as they come."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._wanted = 0

    def feed(self, data: bytes) -> Iterator[object]:
        """Yield the items that are whole now."""
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
        # Twice as much at least, so that a large item is not decoded again for each of its pieces.
        self._wanted = 2 * len(self._buffer)

    def end(self) -> Iterator[object]:
        """Yield what is left, which must be whole."""
        self._wanted = 0
        yield from self.feed(b"")
        if self._buffer:
            raise _broken()


def _broken() -> ConnectionFailed:
    return ConnectionFailed("the server broke off the export; its log says why")
