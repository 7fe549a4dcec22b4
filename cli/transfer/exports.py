"""Writes the keys and values of a server or an opened store to a file, in any format."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Literal, cast

from rundlet import Client, Value
from rundlet_server.cli.exits import CommandError, ExitCode
from rundlet_server.cli.place.target import Target
from rundlet_server.functions.transfer.formats import Format

if TYPE_CHECKING:
    from rundlet_server.cli.transfer.textlines import TextLines
    from rundlet_server.functions.transfer.rows import Rows

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to export.

    Attributes:
        prefix: how the keys begin.
        revision: as of this one; ``None``: the newest.
        at_us: as of this time instead.
    """

    prefix: str = ""
    revision: int | None = None
    at_us: int | None = None

    @property
    def at(self) -> datetime | None:
        """The time."""
        return None if self.at_us is None else _EPOCH + timedelta(microseconds=self.at_us)


def exported(
    target: Target, wanted: Wanted, name: Format, text_lines: TextLines | None
) -> Iterator[tuple[bytes, int]]:
    """Yield the bytes of a file, with the number of keys that end in each piece."""
    if name is Format.TEXT:
        assert text_lines is not None
        for rows in _rows(pieces_of(target, wanted, Format.CBOR_SEQ)):
            lines = b"".join(text_lines.line_of(value) for value in _values(rows))
            yield lines, len(rows.rows)
        return
    counter = _counter(name)
    for piece in pieces_of(target, wanted, name):
        yield piece, counter(piece)


def pieces_of(target: Target, wanted: Wanted, name: Format) -> Iterator[bytes]:
    """Yield the bytes of an export."""
    if isinstance(target, Client):
        yield from target.export_bytes(
            cast("Literal['jsonl', 'csv', 'cbor-seq']", name.value),
            prefix=wanted.prefix,
            revision=wanted.revision,
            at=wanted.at,
        )
        return
    from rundlet_server.cli.place.store import StoreTarget  # noqa: PLC0415 - loads the engine
    from rundlet_server.functions.transfer.exporting import (  # noqa: PLC0415 - as above
        Export,
        clock_ahead_us,
    )
    from rundlet_server.functions.transfer.writing import writer_of  # noqa: PLC0415 - as above
    from rundlet_server.storage.requests import require_feature  # noqa: PLC0415 - as above

    assert isinstance(target, StoreTarget)  # what is not a client
    store = target.store
    at = wanted.revision if wanted.at_us is None else store.moment(wanted.at_us)
    if at is not None:
        require_feature(store.info, "history")
    export = Export(store, writer_of(name, clock_ahead_us(store)), prefix=wanted.prefix, at=at)
    is_held = not store.info.read_only
    with store.hold(export.moment.revision) if is_held else nullcontext():
        yield from export


class _Counter:
    """Counts the rows that end in each piece of a file."""

    def __init__(self, name: Format) -> None:
        from rundlet_server.functions.transfer.readers import reader_of  # noqa: PLC0415 - rarely
        from rundlet_server.functions.transfer.rows import Rules  # noqa: PLC0415 - as above
        from rundlet_server.storage.interface import Limits  # noqa: PLC0415 - as above

        self._is_quoted = False
        self._is_begun = name is not Format.CSV
        self._is_csv = name is Format.CSV
        self._reader = reader_of(name, Rules(Limits())) if name is Format.CBOR_SEQ else None

    def __call__(self, piece: bytes) -> int:
        if self._reader is not None:
            return len(self._reader.feed(piece).rows)
        if not self._is_csv:
            return piece.count(b"\n")
        parts = piece.split(b'"')
        count = sum(part.count(b"\n") for part in parts[int(self._is_quoted) :: 2])
        self._is_quoted ^= len(parts) % 2 == 0
        if count and not self._is_begun:
            self._is_begun = True
            return count - 1  # the header
        return count


def _counter(name: Format) -> _Counter:
    return _Counter(name)


def _rows(pieces: Iterator[bytes]) -> Iterator[Rows]:
    from rundlet_server.functions.transfer.readers import reader_of  # noqa: PLC0415 - rarely
    from rundlet_server.functions.transfer.rows import Rules  # noqa: PLC0415 - as above
    from rundlet_server.storage.bounds import (  # noqa: PLC0415 - as above
        KEY_BYTES_LIMIT,
        VALUE_BYTES_LIMIT,
    )
    from rundlet_server.storage.interface import Limits  # noqa: PLC0415 - as above

    any_size = Limits(key_bytes_max=KEY_BYTES_LIMIT, value_bytes_max=VALUE_BYTES_LIMIT)
    reader = reader_of(Format.CBOR_SEQ, Rules(any_size))
    for piece in pieces:
        rows = reader.feed(piece)
        if rows.bad:
            message = f"the export cannot be read: {rows.bad[0].reason}"
            raise CommandError(message, ExitCode.UNREACHABLE)
        yield rows


def _values(rows: Rows) -> Iterator[Value]:
    for place, (key, value, content_type) in enumerate(rows.rows):
        expires_us = rows.expires_us.get(place)
        expires = None if expires_us is None else _EPOCH + timedelta(microseconds=expires_us)
        yield Value(key.decode(), value, 0, 0, content_type, expires)
