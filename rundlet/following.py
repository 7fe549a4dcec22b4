"""What a watch knows of its feed, without I/O: both kinds of watch have it in common."""

from __future__ import annotations

from collections import deque
from typing import Final

import httpx

from rundlet.errors import ConnectionFailed, ServerError, Unavailable
from rundlet.feed import NDJSON_TYPE, FeedReader
from rundlet.model import Event
from rundlet.sending.retrying import backoff_s

SILENT_S: Final = 45.0
"""A server gives a sign of life every 15 seconds; after this, the connection is taken for dead."""
HEADERS: Final = {"Accept": NDJSON_TYPE}
BROKEN: Final = (httpx.HTTPError, httpx.StreamError, OSError, ValueError)
"""What httpx raises when a feed breaks off."""
_BACKOFF_MAX_S: Final = 2.0


class Following:
    """Turns the pieces of a feed into events, and remembers where it goes on.

    Attributes:
        position: the revision up to which all events have been returned.
    """

    def __init__(self, reader: FeedReader) -> None:
        """Begin at the position of ``reader``."""
        self._reader = reader
        self.position = reader.position
        self._ready: deque[Event] = deque()
        self._lines: deque[bytes] = deque()
        self._parts: list[bytes] = []
        self._failures = 0

    @property
    def path(self) -> str:
        """What to ask a server for."""
        return self._reader.path

    def connected(self, response: httpx.Response) -> None:
        """Begin to read an answer.

        Raises:
            ServerError: it is no feed.
        """
        self._reader.begin()
        self._lines.clear()
        self._parts = []
        media_type = response.headers.get("Content-Type", "").partition(";")[0]
        if media_type != NDJSON_TYPE:
            message = f"the feed is {media_type or 'of no type'}; is this a Rundlet server?"
            raise ServerError(message)

    def feed(self, piece: bytes | None) -> None:
        """Take a piece of the answer; ``None``: it has ended.

        Raises:
            ConnectionFailed: it has ended, which it never does by itself.
        """
        if piece is None:
            raise ConnectionFailed("the server ended the feed")
        # httpx would end lines also where a key has U+2028, which JSON allows.
        first, *others = piece.split(b"\n")
        self._parts.append(first)
        for other in others:
            self._lines.append(b"".join(self._parts))
            self._parts = [other]

    def next_event(self) -> Event | None:
        """Return the next event of what has been read; ``None`` if it has none.

        Raises:
            RundletError: the server ends the feed, and why; or it is no feed.
        """
        while not self._ready and self._lines:
            self._failures = 0
            self._ready.extend(self._reader.take(self._lines.popleft()))
        if not self._ready:
            self.position = max(self.position, self._reader.position)
            return None
        event = self._ready.popleft()
        if event.is_last:
            self.position = event.revision
        return event

    def pause_s(self, ex: ConnectionFailed | Unavailable) -> float:
        """Return how long to wait after a failure before the next attempt."""
        asked_s = ex.retry_after_s if isinstance(ex, Unavailable) else None
        wait_s = min(backoff_s(self._failures), _BACKOFF_MAX_S) if asked_s is None else asked_s
        self._failures += 1
        return wait_s
