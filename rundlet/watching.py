"""``Watch`` follows the changes of a store."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from typing import Self

import httpx

from rundlet.errors import ConnectionFailed, Unavailable
from rundlet.feed import FeedReader
from rundlet.following import BROKEN, HEADERS, SILENT_S, Following
from rundlet.model import Event
from rundlet.sending.transport import Transport


class Watch:
    """An iterator over changes, in order; use it as a context manager, or call ``close``.

    If the server or the network fails, it reconnects and resumes at its position: no event is lost
    or repeated. One thread iterates; any other thread may call ``close``, which ends the iteration.
    """

    def __init__(self, transport: Transport, reader: FeedReader) -> None:
        """Begin at the position of ``reader``; the first ``next`` connects."""
        self._transport = transport
        self._following = Following(reader)
        self._response: httpx.Response | None = None
        self._pieces: Iterator[bytes] = iter(())
        self._is_closed = threading.Event()

    @property
    def position(self) -> int:
        """The revision up to which all events were returned: pass it as ``since`` later."""
        return self._following.position

    def close(self) -> None:
        """End the iteration; any thread may call it. Closing twice is harmless."""
        self._is_closed.set()
        response = self._response
        if response is not None:
            _cut(response)

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Event:
        """Wait for the next event.

        Raises:
            Compacted: the watch was disconnected for longer than the history is kept.
            Unauthorized, Forbidden: the token is no longer valid.
            RundletError: any other error for which a retry is useless.
            StopIteration: ``close`` was called.
        """
        while not self._is_closed.is_set():
            try:
                event = self._following.next_event()
                if event is not None:
                    return event
                self._advance()
            except (ConnectionFailed, Unavailable) as ex:
                self._disconnect()
                self._is_closed.wait(self._following.pause_s(ex))
            except BaseException:
                self._is_closed.set()
                self._disconnect()
                raise
        self._disconnect()
        raise StopIteration

    def _advance(self) -> None:
        """Read a piece, after connecting if necessary."""
        if self._response is None:
            self._connect()
        try:
            piece = next(self._pieces, None)
        except BROKEN as ex:
            raise ConnectionFailed(str(ex)) from ex
        self._following.feed(piece)

    def _connect(self) -> None:
        response = self._transport.follow(self._following.path, HEADERS, read_s=SILENT_S)
        self._response = response
        self._following.connected(response)
        self._pieces = response.iter_bytes()
        if self._is_closed.is_set():  # by a thread that had no response to close yet
            _cut(response)

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


def _cut(response: httpx.Response) -> None:
    """End the read of another thread; closing the socket would not wake it."""
    connection = response.extensions["network_stream"].get_extra_info("socket")
    if connection is not None:
        with contextlib.suppress(OSError):
            # This shuts down the TCP connection even under TLS, whose own method ends TLS first.
            socket.socket.shutdown(connection, socket.SHUT_RDWR)
