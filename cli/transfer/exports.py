"""Writes the keys and values of a server or an opened store to a file, in any format."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Literal, cast

from rundlet import Client, RowCounter, Value
from rundlet_server.cli.exits import CommandError, ExitCode
from rundlet_server.cli.place.target import Target
from rundlet_server.functions.transfer.formats import Format

if TYPE_CHECKING:
    from rundlet_server.cli.transfer.textlines import TextLines
    from rundlet_server.functions.transfer.rows import Rows

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Wanted:
    """The keys to export, and the moment.

    Attributes:
        prefix: the prefix of the keys.
        revision: as of this revision; ``None`` for the head.
        at_us: as of this time instead, in microseconds since the epoch.
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
    """Yield the pieces of a file, each with the number of keys so far."""
    if name is Format.TEXT:
        assert text_lines is not None
        count = 0
        for rows in _rows(piece for piece, _ in _pieces(target, wanted, Format.CBOR_SEQ)):
            count += len(rows.rows)
            yield b"".join(text_lines.line_of(value) for value in _values(rows)), count
        return
    yield from _pieces(target, wanted, name)


def _pieces(target: Target, wanted: Wanted, name: Format) -> Iterator[tuple[bytes, int]]:
    if isinstance(target, Client):
        yield from _fetched(target, wanted, name)
        return
    counter = RowCounter(name.value)
    for piece in _read(target, wanted, name):
        counter.feed(piece)
        yield piece, counter.count
    counter.end()
    yield b"", counter.count


def _fetched(client: Client, wanted: Wanted, name: Format) -> Iterator[tuple[bytes, int]]:
    counts = [0]
    pieces = client.export_bytes(
        cast("Literal['jsonl', 'csv', 'cbor-seq']", name.value),
        prefix=wanted.prefix,
        revision=wanted.revision,
        at=wanted.at,
        progress=counts.append,
    )
    for piece in pieces:
        yield piece, counts[-1]
        del counts[:-1]
    yield b"", counts[-1]


def _read(target: Target, wanted: Wanted, name: Format) -> Iterator[bytes]:
    """Yield the export of an opened store."""
    from rundlet_server.cli.place.store import StoreTarget  # noqa: PLC0415 - loads the engine
    from rundlet_server.functions.transfer.exporting import (  # noqa: PLC0415 - as above
        Export,
        clock_ahead_us,
    )
    from rundlet_server.functions.transfer.writing import writer_of  # noqa: PLC0415 - as above
    from rundlet_server.storage.requests import require_feature  # noqa: PLC0415 - as above

    assert isinstance(target, StoreTarget)  # the only other target
    store = target.store
    at = wanted.revision if wanted.at_us is None else store.moment(wanted.at_us)
    if at is not None:
        require_feature(store.info, "history")
    export = Export(store, writer_of(name, clock_ahead_us(store)), prefix=wanted.prefix, at=at)
    is_held = not store.info.read_only
    with store.hold(export.moment.revision) if is_held else nullcontext():
        yield from export


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
        meta = dict(rows.metadata.get(place, ()))
        yield Value(key.decode(), value, 0, 0, content_type, expires, meta=meta)
