"""Bodies of requests: received whole before the application is called, within bounds on memory.

A client may send a body as slowly as it likes, because a body takes no thread. Up to
``_SMALL_BYTES`` of each body are in memory. Larger bodies share a bounded memory. Incomplete bodies
may take half of it, and those that do not fit go to temporary files. Complete bodies wait for room
in the other half.
"""

from __future__ import annotations

import asyncio
import io
import tempfile
import time
from collections.abc import Callable
from typing import BinaryIO, Final, TypedDict

from rundlet_server.functions.limits import SET_BY
from rundlet_server.functions.problems import RETRY_LATER, Problem
from rundlet_server.server.messages.checks import Framing

_SMALL_BYTES: Final = 64 * 1024
_ROOM_S: Final = 3.0
_LOOK_EVERY_S: Final = 0.02
_CHECK_EVERY_S: Final = 0.5
_ENDING_S: Final = 5.0


class Message(TypedDict, total=False):
    """What ``receive`` of ASGI returns."""

    type: str
    body: bytes
    more_body: bool


Receive = Callable[[], "asyncio.Future[Message]"]


class BrokenOffError(Exception):
    """The client has disconnected, or paused for too long, in the middle of a body."""


class BadChunkError(BrokenOffError):
    """A chunk is malformed, or the client has disconnected: Granian does not report which."""


class TooLargeError(Exception):
    """A chunked body is over the limit.

    Attributes:
        size: the bytes received so far.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size


class BodyMemory:
    """Bounds the memory of a worker for large bodies. Only the thread of the loop may call it.

    Half of the memory is for incomplete bodies, so slow clients cannot take the memory of complete
    bodies.
    """

    def __init__(self, bytes_max: int) -> None:
        self._bytes_max = bytes_max
        self._half_bytes = bytes_max // 2
        self._arriving_bytes = 0
        self._whole_bytes = 0

    def grow(self, size: int) -> bool:
        """Reserve more bytes for an incomplete body; return false if they do not fit."""
        if self._arriving_bytes + size > self._half_bytes:
            return False
        self._arriving_bytes += size
        return True

    def shrink(self, size: int) -> None:
        """Release bytes that ``grow`` reserved."""
        self._arriving_bytes -= size

    async def take(self, size: int) -> None:
        """Reserve memory for a complete body; wait for it if necessary.

        A single body always fits.

        Raises:
            Problem: 503 ``too-many-uploads``.
        """
        for _ in range(round(_ROOM_S / _LOOK_EVERY_S)):
            if not self._whole_bytes or self._whole_bytes + size <= self._half_bytes:
                self._whole_bytes += size
                return
            await asyncio.sleep(_LOOK_EVERY_S)
        raise _no_room(self._bytes_max, self._arriving_bytes + self._whole_bytes + size)

    def give_back(self, size: int) -> None:
        """Release the memory of a complete body."""
        self._whole_bytes -= size


class Patience:
    """Cancels waits for parts of bodies after a timeout."""

    def __init__(self, timeout_s: float, is_ending: Callable[[], bool]) -> None:
        """Allow pauses of ``timeout_s``, and of at most ``_ENDING_S`` while the server ends."""
        self._timeout_s = timeout_s
        self._is_ending = is_ending
        self._waits: dict[asyncio.Future[Message], float] = {}

    async def wait_for(self, part: asyncio.Future[Message]) -> Message:
        """Return the next part of a body.

        Raises:
            BrokenOffError: the part did not arrive in time.
        """
        self.begin(part)
        try:
            return await part
        except asyncio.CancelledError:
            raise BrokenOffError from None
        finally:
            self.end(part)

    def begin(self, part: asyncio.Future[Message]) -> None:
        """Start the timeout of a part; any thread may call it."""
        self._waits[part] = time.monotonic()

    def end(self, part: asyncio.Future[Message]) -> None:
        """Stop the timeout of a part that has arrived or was cancelled; any thread may call it."""
        del self._waits[part]

    def check_often(self, loop: asyncio.AbstractEventLoop) -> None:
        """Cancel waits that are past their timeout, now and again from now on."""
        limit_s = min(self._timeout_s, _ENDING_S) if self._is_ending() else self._timeout_s
        latest_s = time.monotonic() - limit_s
        for part, began_s in self._waits.copy().items():
            if began_s < latest_s:
                part.cancel()
        loop.call_later(min(_CHECK_EVERY_S, limit_s / 4), self.check_often, loop)


class Body:
    """The body of one request.

    Attributes:
        size: the bytes received so far.
    """

    def __init__(self, receive: Receive, memory: BodyMemory, patience: Patience) -> None:
        self.size = 0
        self._receive = receive
        self._memory = memory
        self._patience = patience
        self._arriving_bytes = 0
        self._is_whole = False

    async def read(self, framing: Framing, bytes_max: int) -> BinaryIO:
        """Receive the whole body; return it as a file in memory or a temporary file.

        Raises:
            BrokenOffError: the body broke off; ``BadChunkError`` if it may be malformed.
            TooLargeError: a chunked body has more than ``bytes_max``.
            Problem: 503 ``too-many-uploads``, or ``unavailable`` if no file can keep it.
        """
        try:
            return await self._read(framing, bytes_max)
        except OSError as ex:
            raise _not_kept(ex) from ex

    async def _read(self, framing: Framing, bytes_max: int) -> BinaryIO:
        piece, is_last = await self._next(framing)
        if is_last and self.size <= _SMALL_BYTES:
            return io.BytesIO(piece)
        file: BinaryIO = io.BytesIO()
        file.write(piece)
        is_in_memory = True
        while not is_last:
            if self.size > bytes_max:
                raise TooLargeError(self.size)
            piece, is_last = await self._next(framing)
            if is_in_memory and self.size > _SMALL_BYTES and not self._grow():
                file, is_in_memory = _on_disk(file), False
                self._release()
            file.write(piece)
        if self.size > bytes_max:
            raise TooLargeError(self.size)
        await self._memory.take(self.size)
        self._is_whole = True
        self._release()
        file.seek(0)
        return file

    async def discard(self, bytes_max: int) -> None:
        """Read and drop the rest of the body, up to ``bytes_max``.

        Raises:
            BrokenOffError: the client has disconnected or stopped.
        """
        while self.size < bytes_max:
            message = await self._patience.wait_for(self._receive())
            if message["type"] != "http.request":
                raise BrokenOffError
            self.size += len(message["body"])
            if not message["more_body"]:
                return

    def close(self) -> None:
        """Release the memory of the body."""
        self._release()
        if self._is_whole:
            self._is_whole = False
            self._memory.give_back(self.size)

    async def _next(self, framing: Framing) -> tuple[bytes, bool]:
        """Return the next piece, and whether it is the last one."""
        message = await self._patience.wait_for(self._receive())
        if message["type"] != "http.request":
            raise BadChunkError if framing.is_chunked else BrokenOffError
        self.size += len(message["body"])
        is_last = not message["more_body"]
        if framing.is_chunked:
            return message["body"], is_last
        if is_last and self.size < framing.size:
            raise BrokenOffError
        return message["body"], self.size >= framing.size

    def _grow(self) -> bool:
        more = self.size - self._arriving_bytes
        is_held = self._memory.grow(more)
        self._arriving_bytes += more if is_held else 0
        return is_held

    def _release(self) -> None:
        self._memory.shrink(self._arriving_bytes)
        self._arriving_bytes = 0


def _on_disk(file: BinaryIO) -> BinaryIO:
    """Move the beginning of a body to a temporary file."""
    on_disk: BinaryIO = tempfile.TemporaryFile()  # noqa: SIM115 # closed with the request
    file.seek(0)
    on_disk.write(file.read())
    return on_disk


def _not_kept(ex: OSError) -> Problem:
    detail = (
        "nothing was changed: the body is too large for memory at present, and the temporary"
        f" directory of the server does not take it ({ex.strerror}); send the request again"
        f" later, or raise {SET_BY['receiving_bytes_max']} on the server"
    )
    return Problem(503, "unavailable", detail, headers=RETRY_LATER)


def _no_room(limit: int, got: int) -> Problem:
    detail = (
        f"receiving_bytes_max is {limit}, and with this body there would be {got} at once; send the"
        f" request again later, or raise {SET_BY['receiving_bytes_max']} on the server"
    )
    members = {"limit": limit, "got": got}
    return Problem(503, "too-many-uploads", detail, members, headers=RETRY_LATER)
