"""Write the entries of a store in a format; ``*_rows`` read them back.

A value is written as text if its content type means text and it is valid UTF-8, otherwise in
base64. A value above ``LARGE_VALUE_BYTES`` is always in base64, because it is written piece by
piece, and only its end would show whether all of it is text. A CBOR sequence has the bytes
unchanged.
"""

from __future__ import annotations

import base64
import csv
import functools
import io
from collections.abc import Callable, Iterator, Sequence
from typing import Final, Protocol

import msgspec

from rundlet_server.functions.transfer import cbor
from rundlet_server.functions.transfer.formats import CSV_COLUMNS, Format
from rundlet_server.functions.transfer.shapes import ShapesOfValues
from rundlet_server.functions.units import rfc3339
from rundlet_server.storage.interface import Entry, Row
from rundlet_server.storage.large_values import LargeValue
from rundlet_server.storage.metadata import Metadata

_PIECE_BYTES: Final = 96 * 1024
"""A multiple of three, as base64 turns three bytes into four characters."""

_JSON: Final = msgspec.json.Encoder()


class Writer(Protocol):
    """Writes one format.

    Attributes:
        head: bytes before the first row.
        broken_end: bytes that no row begins with. A reader of an export that breaks off and ends
            with them reports an error.
    """

    head: bytes
    broken_end: bytes

    def rows(self, entries: Sequence[Entry]) -> bytes:
        """Return entries as rows."""

    def large(self, value: LargeValue) -> Iterator[bytes]:
        """Yield the pieces of a row while its value is read; call ``pieces.verify`` before.

        Raises:
            Damaged: see ``ValuePieces.read``.
        """


def writer_of(name: Format, ahead_us: int = 0) -> Writer:
    """Return the writer of a format.

    Args:
        name: a format of ``EXPORTED``.
        ahead_us: microseconds by which to write times of expiry earlier; see ``clock_ahead_us``.
    """
    return _WRITERS[name](ahead_us)


def readable_text(value: bytes, content_type: str) -> str | None:
    """Return the value as text if its content type means text and it is valid UTF-8."""
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


class _JsonLines:
    r"""One object on each line; ``revision`` and ``version`` are those of this store."""

    head = b""
    broken_end = b'{"broken\n'

    def __init__(self, ahead_us: int) -> None:
        self._ahead_us = ahead_us

    def rows(self, entries: Sequence[Entry]) -> bytes:
        return _JSON.encode_lines([self._members(entry) for entry in entries])

    def large(self, value: LargeValue) -> Iterator[bytes]:
        members: dict[str, object] = {"key": value.key, "content_type": value.content_type}
        if value.expires_us is not None:
            members["expires"] = rfc3339(value.expires_us - self._ahead_us)
        if value.metadata:
            members["meta"] = dict(value.metadata)
        members |= {"revision": value.revision, "version": value.version, "base64": ""}
        head = _JSON.encode(members)
        yield head.removesuffix(b'"}')
        yield from _base64_pieces(value)
        yield b'"}\n'

    def _members(self, entry: Entry) -> dict[str, object]:
        key, value, revision, version, _, content_type, expires_us, metadata = entry
        text = readable_text(value, content_type)
        members: dict[str, object] = {"key": key, "content_type": content_type}
        if text is None:
            members["base64"] = value
        else:
            members["text"] = text
        if expires_us is not None:
            members["expires"] = rfc3339(expires_us - self._ahead_us)
        if metadata:
            members["meta"] = dict(metadata)
        members["revision"] = revision
        members["version"] = version
        return members


class _Csv:
    """A row of ``CSV_COLUMNS`` each; ``encoding`` is ``text`` or ``base64``, ``meta`` JSON.

    Lines end with LF. A value with NUL, which many programs cannot read, is in base64.
    """

    head = (",".join(CSV_COLUMNS) + "\n").encode()
    broken_end = b'"broken'

    def __init__(self, ahead_us: int) -> None:
        self._ahead_us = ahead_us

    def rows(self, entries: Sequence[Entry]) -> bytes:
        lines = io.StringIO()
        writer = csv.writer(lines, lineterminator="\n")
        for key, value, _, _, _, content_type, expires_us, metadata in entries:
            text = readable_text(value, content_type)
            is_text = text is not None and "\0" not in text
            shown = text if is_text else base64.b64encode(value).decode("ascii")
            encoding = "text" if is_text else "base64"
            about = (content_type, self._expires(expires_us), _meta_text(metadata))
            writer.writerow((key, *about, encoding, shown))
        return lines.getvalue().encode()

    def large(self, value: LargeValue) -> Iterator[bytes]:
        lines = io.StringIO()
        about = (value.content_type, self._expires(value.expires_us), _meta_text(value.metadata))
        csv.writer(lines, lineterminator="\n").writerow((value.key, *about, "base64", ""))
        yield lines.getvalue().encode().removesuffix(b"\n")
        yield from _base64_pieces(value)
        yield b"\n"

    def _expires(self, expires_us: int | None) -> str:
        return "" if expires_us is None else rfc3339(expires_us - self._ahead_us)


def _meta_text(metadata: Metadata) -> str:
    """Return metadata as a JSON object, so that any text fits into one field."""
    return _JSON.encode(dict(metadata)).decode() if metadata else ""


_ENTRIES: Final = ShapesOfValues("key", "revision", "version", "content_type", last=("value",))
_ROWS: Final = ShapesOfValues("key", "content_type", last=("value",))


class _CborSequence:
    """One map for each entry (RFC 8742), with the members of an item of an mget."""

    head = b""
    broken_end = b"\xff"

    def __init__(self, ahead_us: int) -> None:
        self._ahead_us = ahead_us

    def rows(self, entries: Sequence[Entry]) -> bytes:
        pieces: list[bytes] = []
        for entry in entries:
            pieces.append(self._head(entry, len(entry.value)))
            pieces.append(entry.value)
        return b"".join(pieces)

    def large(self, value: LargeValue) -> Iterator[bytes]:
        yield self._head(value, value.size)
        # The last two bytes come together: if one of them were missing, ``broken_end`` would be it.
        held = b""
        for piece in _pieces(value):
            data = held + piece
            yield data[:-2]
            held = data[-2:]
        yield held

    def _head(self, entry: Entry | LargeValue, size: int) -> bytes:
        members = (
            cbor.text(entry.key),
            cbor.number(entry.revision),
            cbor.number(entry.version),
            cbor.repeated_text(entry.content_type),
        )
        value_head = cbor.byte_string_head(size)
        expires_us = entry.expires_us
        if expires_us is not None:
            expires_us -= self._ahead_us
        return _ENTRIES.encode(members, expires_us, entry.metadata, value_head)


def cbor_row(row: Row, expires_us: int | None, metadata: Metadata) -> bytes:
    """Encode a row as an item of a CBOR sequence."""
    key, value, content_type = row
    head = cbor.encoded_text(key), cbor.repeated_text(content_type)
    return _ROWS.encode(head, expires_us, metadata, cbor.byte_string_head(len(value))) + value


def _base64_pieces(value: LargeValue) -> Iterator[bytes]:
    waiting = b""
    for piece in _pieces(value):
        data = waiting + piece
        whole = len(data) - len(data) % 3
        yield base64.b64encode(data[:whole])
        waiting = data[whole:]
    yield base64.b64encode(waiting)


def _pieces(value: LargeValue) -> Iterator[bytes]:
    position = 0
    while position < value.size:
        piece = value.pieces.read(position, min(_PIECE_BYTES, value.size - position))
        position += len(piece)
        yield piece


_WRITERS: Final[dict[Format, Callable[[int], Writer]]] = {
    Format.JSONL: _JsonLines,
    Format.CSV: _Csv,
    Format.CBOR_SEQ: _CborSequence,
}
