"""Waiting for changes: ``Watch`` follows them, ``WatchCalls`` is the client's part."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections import deque
from collections.abc import Iterator
from typing import Final, Self

import httpx

from rundlet.answers import fields_of, value_of
from rundlet.errors import ConnectionFailed, ServerError, Unavailable
from rundlet.feed import NDJSON_TYPE, FeedReader, changes_path, decode_event
from rundlet.keys import key_path
from rundlet.model import ChangesPage, Event, Value
from rundlet.transport import Request, Transport, backoff_s
from rundlet.wire import ACCEPTED_TYPES, Fields

_SILENT_S: Final = 45.0
"""A server gives a sign of life every 15 seconds; after this, the connection is taken for dead."""
_BACKOFF_MAX_S: Final = 2.0
_WAIT_S: Final = 25
"""One request waits this long: less than proxies do."""


class Watch:
    """An iterator over changes, in order; use it as a context manager, or call ``close``.

    It connects again by itself, however often the server or the network fails, and goes on where
    it was: no event is lost, none comes twice. One thread iterates; any other may call ``close``,
    which ends the iteration.
    """

    def __init__(self, transport: Transport, reader: FeedReader) -> None:
        """Begin at the position of ``reader``; the first connection is made by the first event."""
        self._transport = transport
        self._reader = reader
        self._position = reader.position
        self._ready: deque[Event] = deque()
        self._response: httpx.Response | None = None
        self._lines: Iterator[bytes] = iter(())
        self._failures = 0
        self._is_closed = threading.Event()

    @property
    def position(self) -> int:
        """The revision up to which all events have been returned: pass it as ``since`` later."""
        return self._position

    def close(self) -> None:
        """End the iteration, also from another thread; closing twice is harmless."""
        self._is_closed.set()
        response = self._response
        if response is not None:
            _cut(response)

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Event:
        """Wait for the next event.

        Raises:
            Compacted: the watch was away for longer than history is kept.
            Unauthorized, Forbidden: the token is valid no longer.
            RundletError: any other error that no second attempt helps against.
            StopIteration: ``close`` was called.
        """
        while not self._ready and not self._is_closed.is_set():
            try:
                self._advance()
            except (ConnectionFailed, Unavailable) as ex:
                self._pause(ex)
            except BaseException:
                self._disconnect()
                self._is_closed.set()
                raise
        if self._is_closed.is_set():
            self._disconnect()
            raise StopIteration
        event = self._ready.popleft()
        if event.is_last:
            self._position = event.revision
        return event

    def _advance(self) -> None:
        """Read one line, after connecting if need be."""
        if self._response is None:
            self._connect()
        try:
            line = next(self._lines, None)
        except (httpx.HTTPError, httpx.StreamError, OSError, ValueError) as ex:
            raise ConnectionFailed(str(ex)) from ex
        if line is None:
            raise ConnectionFailed("the server ended the feed")
        self._failures = 0
        self._ready.extend(self._reader.take(line))
        if not self._ready:
            self._position = max(self._position, self._reader.position)

    def _connect(self) -> None:
        self._reader.begin()
        response = self._transport.follow(
            self._reader.path, {"Accept": NDJSON_TYPE}, read_s=_SILENT_S
        )
        self._response = response
        media_type = response.headers.get("Content-Type", "").partition(";")[0]
        if media_type != NDJSON_TYPE:
            message = f"the feed is {media_type or 'of no type'}; is this a Rundlet server?"
            raise ServerError(message)
        self._lines = _lines_of(response)
        if self._is_closed.is_set():  # by a thread that did not see the response yet
            _cut(response)

    def _pause(self, ex: ConnectionFailed | Unavailable) -> None:
        """Wait before the next attempt, unless the watch is closed meanwhile."""
        self._disconnect()
        asked_s = ex.retry_after_s if isinstance(ex, Unavailable) else None
        wait_s = min(backoff_s(self._failures), _BACKOFF_MAX_S) if asked_s is None else asked_s
        self._failures += 1
        self._is_closed.wait(wait_s)

    def _disconnect(self) -> None:
        response, self._response = self._response, None
        if response is not None:
            with contextlib.suppress(httpx.HTTPError, OSError):
                response.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()
        self._disconnect()


class WatchCalls:
    """The part of the client that waits for changes."""

    _transport: Transport

    def watch(
        self, prefix: str = "", *, since: int | None = None, include_values: bool = False
    ) -> Watch:
        """Return an iterator over all changes from now on, or from after a revision.

        It goes on through failures of the server and the network, without a loss or a repeat. A
        list at revision R and a watch since R together miss nothing.

        Args:
            prefix: only keys that start with this.
            since: events have higher revisions.
            include_values: with the values.

        Raises:
            Compacted: the history that is kept no longer reaches ``since``.
        """
        return _open_watch(self._transport, prefix, since=since, include_values=include_values)

    def changes(
        self,
        since: int,
        *,
        prefix: str = "",
        limit: int | None = None,
        include_values: bool = False,
        wait_s: float | None = None,
    ) -> ChangesPage:
        """Return one page of the changes after a revision: whole commits, oldest first.

        The page may end, even empty, before the newest commit; ``next_since`` is where the next one
        begins.

        Args:
            since: events have higher revisions.
            prefix: only keys that start with this.
            limit: the most events, unless one commit has more.
            include_values: with the values.
            wait_s: if there is nothing yet, wait so long for it.

        Raises:
            Compacted: the history that is kept no longer reaches ``since``.
        """
        path = changes_path(
            prefix, since, include_values=include_values, limit=limit, wait_s=wait_s
        )
        page = _changes(self._transport, path)
        events = [decode_event(row, has_value=include_values) for row in page.rows("events")]
        return ChangesPage(events, page.number("next_since"), page.number("oldest_revision"))

    def wait_for(
        self, key: str, *, revision: int | None = None, timeout_s: float = 60.0
    ) -> Value | None:
        """Wait until a key changes, and return its value then; ``None`` if it has none.

        Args:
            key: which key.
            revision: the last one that was seen, 0 for no value; by default that of now.
            timeout_s: how long to wait.

        Raises:
            TimeoutError: the key has not changed within that time.
        """
        return _wait_for(self._transport, key, revision=revision, timeout_s=timeout_s)


def _open_watch(
    transport: Transport, prefix: str, *, since: int | None, include_values: bool
) -> Watch:
    """Return a watch that begins after ``since``, by default now; see ``Client.watch``."""
    found = _changes(transport, changes_path(prefix, since, limit=1))
    position = found.number("next_since") if since is None else since
    return Watch(transport, FeedReader(prefix, position, include_values=include_values))


def _wait_for(
    transport: Transport, key: str, *, revision: int | None, timeout_s: float
) -> Value | None:
    """Wait for one key; see ``Client.wait_for``."""
    ends_s = time.monotonic() + timeout_s
    since = _changes(transport, changes_path(key, None, limit=1)).number("next_since")
    value = _value(transport, key)
    if revision is None:
        revision = _revision_of(value)
    while _revision_of(value) == revision:
        left_s = ends_s - time.monotonic()
        if left_s <= 0:
            message = f"{key!r} has not changed within {timeout_s:g} s"
            raise TimeoutError(message)
        wait_s = min(left_s, _WAIT_S, transport.timeout_s / 2)
        page = _changes(transport, changes_path(key, since, wait_s=wait_s))
        since = page.number("next_since")
        if any(row.text("key") == key for row in page.rows("events")):
            value = _value(transport, key)
    return value


def _changes(transport: Transport, path: str) -> Fields:
    response = transport.send(Request("GET", path, False, {"Accept": ACCEPTED_TYPES}))
    if response is None:
        message = f"{transport.base_url} knows no feed; is it an older Rundlet server?"
        raise ServerError(message)
    return fields_of(response)


def _value(transport: Transport, key: str) -> Value | None:
    response = transport.send(Request("GET", key_path(key), is_write=False))
    return None if response is None else value_of(key, response)


def _revision_of(value: Value | None) -> int:
    return 0 if value is None else value.revision


def _lines_of(response: httpx.Response) -> Iterator[bytes]:
    """Yield whole lines. httpx would end them also where a key has U+2028, which JSON allows."""
    parts: list[bytes] = []
    for piece in response.iter_bytes():
        first, *others = piece.split(b"\n")
        parts.append(first)
        for other in others:
            yield b"".join(parts)
            parts = [other]


def _cut(response: httpx.Response) -> None:
    """End the wait of the thread that reads an answer: to close the socket would not do that."""
    connection = response.extensions["network_stream"].get_extra_info("socket")
    if connection is not None:
        with contextlib.suppress(OSError):
            # Of the TCP connection, also under TLS, whose own method ends TLS first.
            socket.socket.shutdown(connection, socket.SHUT_RDWR)
