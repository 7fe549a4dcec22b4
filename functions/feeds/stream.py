"""The feed as a streamed answer: read, send, wait, repeat.

The server asks for a piece after it has taken the previous one. It does not send an empty piece,
but then notices if the client has disconnected.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from rundlet_server.functions.feeds.connection import connection_of
from rundlet_server.functions.feeds.events import Form
from rundlet_server.functions.feeds.places import FEED_EVENTS, FeedPlaces
from rundlet_server.functions.feeds.reading import Selection, reach, read_page
from rundlet_server.functions.feeds.waiting import Waiting
from rundlet_server.functions.messages.places import TakenPlace
from rundlet_server.functions.messages.sending import SendingGate
from rundlet_server.functions.problems import Problem, encode_problem, problem_of
from rundlet_server.functions.waits import IN_THREAD, Waits
from rundlet_server.storage.counting.counters import SharedCounters
from rundlet_server.storage.errors import StoreError
from rundlet_server.storage.timeline import Changes, Event, Timeline

HEARTBEAT_S: Final = 15.0
_PAGE_EVENTS: Final = 1_000
_PAGE_BYTES: Final = 256 * 1024
_PIECE_BYTES: Final = 64 * 1024
_UNSENT_BYTES_MAX: Final = 256 * 1024
"""A stream pauses while more bytes than this wait for the client."""
_LARGE_PAGE_BYTES: Final = 1024 * 1024
_FULL_S: Final = 0.1
"""How long a stream pauses if the client reads slowly, or if memory is short."""


@dataclass(frozen=True, slots=True)
class Source:
    """The objects that all waiting requests of a process share."""

    store: Timeline
    waiting: Waiting
    places: FeedPlaces
    sending: SendingGate
    counters: SharedCounters
    wait_s_max: float
    heartbeat_s: float = HEARTBEAT_S
    waits: Waits = IN_THREAD


class Stream:
    """The pieces of one answer. It holds a place until it is closed."""

    def __init__(
        self, source: Source, form: Form, selection: Selection, position: int, place: TakenPlace
    ) -> None:
        """Begin after the revision ``position``."""
        self._source = source
        self._form = form
        self._selection = selection
        self._position = position
        self._place = place
        self._held_bytes = 0

    def pieces(self, environ: dict[str, object], request_id: str) -> Iterator[bytes]:
        """Yield the answer.

        A shutdown or a disconnected client ends it. If a problem ends it, the last piece is the
        problem.
        """
        try:
            yield self._form.begin(self._position)
            yield from self._forever(environ)
        except (Problem, StoreError) as ex:
            yield self._form.problem(encode_problem(problem_of(ex), request_id))
        finally:
            self.close()

    def close(self) -> None:
        """Release the place and the memory; a second call does nothing."""
        self._release()
        self._place.give_back()

    def _forever(self, environ: dict[str, object]) -> Iterator[bytes]:
        connection = connection_of(environ)
        waiting, waits = self._source.waiting, self._source.waits
        said_s = time.monotonic()
        found: Changes | None = None
        while waiting.goes_on(environ):
            if connection.unsent_bytes() > _UNSENT_BYTES_MAX:
                waits.sleep(_FULL_S)
                continue
            for piece in self._page(found):
                yield piece
                said_s = time.monotonic()
                while connection.unsent_bytes() > _UNSENT_BYTES_MAX and waiting.goes_on(environ):
                    waits.sleep(_FULL_S)
            self._release()
            found = None
            left_s = said_s + self._source.heartbeat_s - time.monotonic()
            if left_s <= 0:
                yield self._form.still_here(self._position)
                said_s = time.monotonic()
            else:
                yield b""
                prefix = self._selection.prefix
                found = waiting.next_changes(environ, prefix, self._position, left_s)

    def _page(self, found: Changes | None) -> Iterator[bytes]:
        """Yield the events of ``found``, or read them from the log if there is memory for it."""
        try:
            page = self._source.waits.work(self._read) if found is None else self._filled(found)
        except Problem as ex:
            if ex.status != 503:
                raise
            # Other answers hold the memory: read the events from the log later.
            self._source.waits.sleep(_FULL_S)
            return
        yield from self._joined(page.events)
        self._position = page.next_since

    def _filled(self, found: Changes) -> Changes:
        """Add the values to a page if needed; feeds of one prefix read a small page only once."""
        if not found.events or not self._selection.include_values:
            return found
        until, size = reach(found, _PAGE_BYTES)
        if size > _LARGE_PAGE_BYTES:
            return self._source.waits.work(self._read)
        since, prefix = found.events[0].revision - 1, self._selection.prefix

        def read() -> Changes:
            return self._source.store.changes(
                since, prefix=prefix, limit=_PAGE_EVENTS, include_values=True, until=until
            )

        return self._source.waits.work_once((prefix, since, until), read)

    def _read(self) -> Changes:
        return read_page(
            self._source.store,
            self._selection,
            self._position,
            limit=_PAGE_EVENTS,
            bytes_max=_PAGE_BYTES,
            admit=self._hold,
        )

    def _joined(self, events: list[Event]) -> Iterator[bytes]:
        """Yield events in pieces that are worth sending."""
        parts: list[bytes] = []
        size = 0
        for event in events:
            parts.append(self._form.event(event))
            size += len(parts[-1])
            if size >= _PIECE_BYTES:
                yield b"".join(parts)
                parts, size = [], 0
        if parts:
            yield b"".join(parts)
        if events:
            self._source.counters.add(FEED_EVENTS, len(events))

    def _hold(self, size: int) -> None:
        """Reserve memory for a page that is large because of a large commit."""
        if size > _LARGE_PAGE_BYTES:
            self._source.sending.move(0, size)
            self._held_bytes = size

    def _release(self) -> None:
        size, self._held_bytes = self._held_bytes, 0
        if size:
            self._source.sending.move(size, 0)
