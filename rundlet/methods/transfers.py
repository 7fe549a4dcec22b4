"""Methods that move whole stores."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, Iterable, Iterator
from datetime import datetime

from rundlet.calls import transfers
from rundlet.calls.call import Progress
from rundlet.calls.lists import Range
from rundlet.calls.transfers import (
    CountedPieces,
    ExportFormat,
    Imported,
    Importing,
    OnConflict,
    Values,
    export_request,
)
from rundlet.methods.base import AsyncMethods, Methods
from rundlet.model import Put, Value


class TransferMethods(Methods):
    """Export and import."""

    def export(
        self, *, prefix: str = "", revision: int | None = None, at: datetime | str | None = None
    ) -> Iterator[Value]:
        """Yield all keys and values of one snapshot in order, however many there are.

        An export is one answer, which the client reads while the caller iterates. For many keys it
        is faster than ``scan``.

        Args:
            prefix: only keys that start with this.
            revision: as of this revision; by default the newest.
            at: as of this time instead.

        Raises:
            Compacted: the kept history no longer includes the revision or time.
            ConnectionFailed: the export broke off; the yielded values are not all.
        """
        values = Values()
        keys = Range(prefix, revision=revision, at=at)
        with self._transport.stream(export_request("cbor-seq", keys)) as response:
            for piece in response.iter_bytes():
                for value in values.feed(piece):
                    yield value
        for value in values.end():
            yield value

    def export_bytes(
        self,
        export_format: ExportFormat = "jsonl",
        *,
        prefix: str = "",
        revision: int | None = None,
        at: datetime | str | None = None,
        progress: Progress | None = None,
    ) -> Iterator[bytes]:
        """Yield an export as the bytes of a file, piece by piece; raises as ``export`` does.

        Args:
            export_format: of the file.
            prefix: as in ``export``.
            revision: as in ``export``.
            at: as in ``export``.
            progress: called with the number of keys so far, before each piece is yielded and at
                the end.
        """
        counted = CountedPieces(export_format, progress)
        keys = Range(prefix, revision=revision, at=at)
        with self._transport.stream(export_request(export_format, keys)) as response:
            for piece in response.iter_bytes():
                counted.feed(piece)
                yield piece
        counted.end()

    def import_(
        self,
        rows: Iterable[Put | Value],
        *,
        on_conflict: OnConflict = "replace",
        progress: Progress | None = None,
    ) -> Imported:
        """Store many values, in requests of a few megabytes; not a transaction.

        ``other.import_(client.export())`` copies a store.

        Args:
            rows: puts, or values, which keep their time of expiry.
            on_conflict: what to do if a key has a value: replace it, skip the row, or fail.
            progress: called after each request with the number of rows done so far.

        Raises:
            Conflict: with ``fail``, a key has a value.
            RundletError: any other error; ``imported`` is the number of rows that are known
                to be stored.
        """
        return self._feed(Importing(on_conflict, progress), rows)

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
            body: complete rows, of at most ``import_body_bytes_max`` of the server.
            content_type: of the format.
            on_conflict: see ``import_``.
            any_key: in lines of text, keys need not be UUIDs.

        Raises:
            BadRequest, Conflict: see ``import_``; ``line`` is the line of the row.
        """
        return self._run(
            transfers.import_bytes(body, content_type, on_conflict=on_conflict, any_key=any_key)
        )


class AsyncTransferMethods(AsyncMethods):
    """Does as ``TransferMethods`` does."""

    async def export(
        self, *, prefix: str = "", revision: int | None = None, at: datetime | str | None = None
    ) -> AsyncGenerator[Value, None]:
        """Yield all keys and values of one snapshot in order, however many there are."""
        values = Values()
        keys = Range(prefix, revision=revision, at=at)
        async with self._transport.stream(export_request("cbor-seq", keys)) as response:
            async for piece in response.aiter_bytes():
                for value in values.feed(piece):
                    yield value
        for value in values.end():
            yield value

    async def export_bytes(
        self,
        export_format: ExportFormat = "jsonl",
        *,
        prefix: str = "",
        revision: int | None = None,
        at: datetime | str | None = None,
        progress: Progress | None = None,
    ) -> AsyncGenerator[bytes, None]:
        """Yield an export as the bytes of a file, piece by piece; raises as ``export`` does."""
        counted = CountedPieces(export_format, progress)
        keys = Range(prefix, revision=revision, at=at)
        async with self._transport.stream(export_request(export_format, keys)) as response:
            async for piece in response.aiter_bytes():
                counted.feed(piece)
                yield piece
        counted.end()

    async def import_(
        self,
        rows: Iterable[Put | Value] | AsyncIterable[Put | Value],
        *,
        on_conflict: OnConflict = "replace",
        progress: Progress | None = None,
    ) -> Imported:
        """Store many values, in requests of a few megabytes; not a transaction."""
        return await self._feed(Importing(on_conflict, progress), rows)

    async def import_bytes(
        self,
        body: bytes,
        content_type: str,
        *,
        on_conflict: OnConflict = "replace",
        any_key: bool = False,
    ) -> Imported:
        """Store the rows of a part of a file, in one request."""
        return await self._run(
            transfers.import_bytes(body, content_type, on_conflict=on_conflict, any_key=any_key)
        )
