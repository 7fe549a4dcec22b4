"""The state of a watch, without I/O; both kinds of watch share it."""

from __future__ import annotations

from collections import deque
from typing import Final

import httpx

from rundlet.errors import ConnectionFailed, ServerError, Unavailable
from rundlet.feed import NDJSON_TYPE, FeedReader
from rundlet.model import Event
from rundlet.sending.retrying import backoff_s

SILENT_S: Final = 45.0
"""The server sends a heartbeat every 15 seconds; without one for so long, reconnect."""
HEADERS: Final = {"Accept": NDJSON_TYPE}
BROKEN: Final = (httpx.HTTPError, httpx.StreamError, OSError, ValueError)
"""What httpx raises when a feed breaks off."""
_BACKOFF_MAX_S: Final = 2.0


class Following:
    """Turns the pieces of a feed into events, and keeps the position at which to resume.

    Attributes:
        position: the revision up to which all events were returned.
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
        """The path of the next request for the feed."""
        return self._reader.path

    def connected(self, response: httpx.Response) -> None:
        """Begin to read an answer.

        Raises:
            ServerError: the answer is not a feed.
        """
        self._reader.begin()
        self._lines.clear()
        self._parts = []
        media_type = response.headers.get("Content-Type", "").partition(";")[0]
        if media_type != NDJSON_TYPE:
            message = f"the feed is {media_type or 'of no type'}; is this a Rundlet server?"
            raise ServerError(message)

    def feed(self, piece: bytes | None) -> None:
        """Read a piece of the answer; ``None`` if the answer has ended.

        Raises:
            ConnectionFailed: the answer has ended; a feed never ends by itself.
        """
        if piece is None:
            raise ConnectionFailed("the server ended the feed")
        # httpx would also end a line at U+2028, which a key in JSON may contain.
        first, *others = piece.split(b"\n")
        self._parts.append(first)
        for other in others:
            self._lines.append(b"".join(self._parts))
            self._parts = [other]

    def next_event(self) -> Event | None:
        """Return the next event of the pieces so far; ``None`` if there is none.

        Raises:
            RundletError: a problem ended the feed, or the answer is not a feed.
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
