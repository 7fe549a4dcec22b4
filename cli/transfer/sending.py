"""Sends the rows of a file to a server, in requests of a few megabytes.

While the server stores one piece, this process prepares the next one.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import NamedTuple

from rundlet import Client, Imported, RundletError
from rundlet_server.cli.exits import CommandError, exit_code_of
from rundlet_server.cli.transfer.loading import Loading
from rundlet_server.functions.transfer.formats import MEDIA_TYPES, Format, OnConflict
from rundlet_server.functions.transfer.rows import Rows
from rundlet_server.functions.transfer.writing import cbor_row

_PIECE_BYTES = 6 * 1024 * 1024
_PIECE_ROWS = 65_536
_POLL_S = 0.2


class Piece(NamedTuple):
    """The body of a request, and the lines of its rows in the file."""

    body: bytes
    lines: list[int]


def send(loading: Loading, client: Client, on_conflict: OnConflict) -> None:
    """Store all rows of a file.

    Raises:
        CommandError: a row cannot be stored; the message names its line.
        RundletError: see ``Client.import_``.
    """
    is_text = loading.source.format is Format.TEXT
    waiting: tuple[_Request, Piece] | None = None
    for piece in _pieces(loading, _body_bytes_max(client)):
        if waiting:
            _finish(loading, *waiting)
        waiting = _Request(client, piece.body, on_conflict, is_text=is_text), piece
    if waiting:
        _finish(loading, *waiting)
    loading.loaded.skipped = max(0, loading.loaded.skipped - loading.loaded.expired)


class _Request:
    """A request in a thread of its own, so that Ctrl-C need not wait for the answer."""

    def __init__(
        self, client: Client, body: bytes, on_conflict: OnConflict, *, is_text: bool
    ) -> None:
        self._client = client
        self._body = body
        self._on_conflict = on_conflict
        self._media_type = MEDIA_TYPES[Format.TEXT if is_text else Format.CBOR_SEQ]
        self._is_text = is_text
        self._answer: Imported | Exception | None = None
        self._thread = threading.Thread(target=self._run, name="rundlet-import", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._answer = self._client.import_bytes(
                self._body,
                self._media_type,
                on_conflict=self._on_conflict.value,
                any_key=self._is_text,
            )
        except Exception as ex:
            self._answer = ex

    def result(self) -> Imported:
        """Wait for the answer, and return it or raise its error."""
        while self._thread.is_alive():
            self._thread.join(_POLL_S)
        if isinstance(self._answer, Exception):
            raise self._answer
        assert self._answer is not None
        return self._answer


def _finish(loading: Loading, request: _Request, piece: Piece) -> None:
    try:
        answer = request.result()
    except RundletError as ex:
        loading.extent.stored += ex.imported
        code = exit_code_of(ex)
        if code is None or not 0 < ex.line <= len(piece.lines) or ex.problem not in _OF_ROWS:
            raise
        message = f"{loading.source.name}:{piece.lines[ex.line - 1]}: {ex}"
        raise CommandError(message, code) from ex
    loading.loaded.skipped += answer.skipped
    loading.advance(len(piece.lines))


_OF_ROWS = frozenset({"bad-row", "key-exists", "forbidden"})
"""Problems with one row."""


def _pieces(loading: Loading, bytes_max: int) -> Iterator[Piece]:
    is_text = loading.source.format is Format.TEXT
    items: list[bytes] = []
    lines: list[int] = []
    size = 0
    for rows in loading.parts():
        for item, line in zip(_items(rows, is_text=is_text), rows.lines, strict=True):
            if items and (size + len(item) > bytes_max or len(items) == _PIECE_ROWS):
                yield Piece(b"".join(items), lines)
                items, lines, size = [], [], 0
            items.append(item)
            lines.append(line)
            size += len(item)
    if items:
        yield Piece(b"".join(items), lines)


def _items(rows: Rows, *, is_text: bool) -> Iterator[bytes]:
    if is_text:
        return (key + b" " + value + b"\n" for key, value, _ in rows.rows)
    expires_us, metadata = rows.expires_us, rows.metadata
    return (
        cbor_row(row, expires_us.get(place), metadata.get(place, ()))
        for place, row in enumerate(rows.rows)
    )


def _body_bytes_max(client: Client) -> int:
    limits = client.info().get("limits")
    known = limits.get("import_body_bytes_max") if isinstance(limits, dict) else None
    return min(_PIECE_BYTES, known) if isinstance(known, int) else _PIECE_BYTES
