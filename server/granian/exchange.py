"""One request and its answer: send pieces, and detect that the client disconnects."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Awaitable, Callable, Iterable
from typing import TYPE_CHECKING, Final

from rundlet_server.server.granian.bodies import Message, Receive
from rundlet_server.server.granian.environ import Scope

if TYPE_CHECKING:
    from _typeshed import OptExcInfo

Send = Callable[[dict[str, object]], Awaitable[None]]
Headers = Iterable[tuple[str, str]]

CLOSE: Final = (b"connection", b"close")


class Exchange:
    """A request and its answer; a ``Connection`` of ``functions.feeds.connection``."""

    def __init__(
        self, scope: Scope, receive: Receive, send: Send, is_ending: Callable[[], bool]
    ) -> None:
        self.scope = scope
        self.send = send
        self.receive = receive
        self.is_last = False
        self._is_ending = is_ending
        self._loop = asyncio.get_running_loop()
        self._is_watched = False
        self._is_gone = False
        self._status = 500
        self._headers: Headers = ()

    def start_response(
        self, status: str, headers: list[tuple[str, str]], _exc_info: OptExcInfo | None = None, /
    ) -> Callable[[bytes], object]:
        """Keep the head of the answer; see PEP 3333."""
        self._status = int(status[:3])
        self._headers = headers
        return _no_write

    async def begin(self) -> None:
        """Send the head of the answer."""
        headers = [(_name_of(name), value.encode("latin-1")) for name, value in self._headers]
        if self.is_last or self._is_ending():
            headers.append(CLOSE)
        await self.send({"type": "http.response.start", "status": self._status, "headers": headers})

    async def send_whole(self, body: bytes) -> None:
        """Send an answer in one piece."""
        await self.begin()
        await self.send({"type": "http.response.body", "body": body})

    async def send_piece(self, piece: bytes) -> None:
        """Send a part of an answer; return once there is room for the next one."""
        await self.send({"type": "http.response.body", "body": piece, "more_body": True})

    async def end(self) -> None:
        """End an answer in parts."""
        await self.send({"type": "http.response.body", "body": b""})

    def is_gone(self) -> bool:
        """Return whether the client has disconnected; any thread may call it."""
        if not self._is_watched:
            self._is_watched = True
            self._loop.call_soon_threadsafe(self._watch)
        return self._is_gone

    def is_over(self) -> bool:
        """See ``functions.feeds.connection``; any thread may call it."""
        return self.is_gone() or self._is_ending()

    def unsent_bytes(self) -> int:
        """Return 0: the server makes a piece only when there is room for it."""
        return 0

    def _watch(self) -> None:
        """Wait until the client disconnects; call it once the body has been received."""
        message = self.receive()
        if hasattr(message, "add_done_callback"):
            message.add_done_callback(self._noticed)
        else:  # Granian knows it already
            self._is_gone = True

    def _noticed(self, message: asyncio.Future[Message]) -> None:
        if message.cancelled():
            return
        if message.result()["type"] == "http.disconnect":
            self._is_gone = True
        else:
            self._watch()


def _no_write(_data: bytes) -> None:
    raise RuntimeError("the application returns its body; it does not write it")


@functools.lru_cache(maxsize=256)
def _name_of(name: str) -> bytes:
    return name.lower().encode("latin-1")
