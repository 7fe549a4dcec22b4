"""Send large answers in pieces, within a bound on memory that all connections share.

A client may read its answer as slowly as it likes. A large value is read from the store piece by
piece while the client reads it, so only a piece is in memory. Every other large answer is in memory
until the client has read it, so the bytes of all of them are bounded. The server closes an answer
when the client has read it or has disconnected.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator
from typing import Final, Self

import falcon

from rundlet_server.functions.limits import over_limit_now
from rundlet_server.functions.problems import RETRY_LATER, Problem
from rundlet_server.functions.waits import IN_THREAD, Waits
from rundlet_server.storage.forks import listen_for_forks
from rundlet_server.storage.large_values import ValuePieces

_STEP_BYTES: Final = 128 * 1024
LARGE_ANSWER_BYTES: Final = 1024 * 1024
"""An answer made of many values is large if it has more bytes. With a lower bound, a few slow
readers would keep all other clients from answers of a common size."""
_COPIES: Final = 2
"""While an answer is encoded, both its values and the encoded answer are in memory."""
_QUEUED_BYTES: Final = 6 * _STEP_BYTES
"""Maximum bytes of a large value in memory while a slow client reads it."""
_MOMENT_S: Final = 0.05
"""How long an answer waits for others to be read."""
_LOOK_EVERY_S: Final = 0.005

SENT_BYTES: Final = "rundlet.sent_bytes"
"""The environ variable with the size of an answer that is sent in pieces."""

ReadPiece = Callable[[int, int], bytes]
"""Takes an offset and a maximum size; returns at least one byte and at most that many."""


class SendingGate:
    """Bounds the memory of this process for large answers that clients have not read yet.

    A large value counts as a few pieces. A value of up to ``LARGE_VALUE_BYTES`` does not count, nor
    does another answer of up to ``LARGE_ANSWER_BYTES``. The only answer is never
    refused.

    Attributes:
        waits: how requests wait.
    """

    def __init__(self, bytes_max: int, waits: Waits = IN_THREAD) -> None:
        """Bound large answers in memory to ``bytes_max``."""
        self._bytes_max = bytes_max
        self.waits = waits
        self._begin()
        listen_for_forks(self)

    def _begin(self) -> None:
        self._lock = threading.RLock()  # the thread that holds it may collect an answer
        self._held_bytes = 0

    def after_fork(self) -> None:
        """Forget the parent's answers in a forked child."""
        self._begin()

    @property
    def held_bytes(self) -> int:
        """The size of the large answers in memory."""
        return self._held_bytes

    @contextlib.contextmanager
    def hold(self) -> Iterator[Hold]:
        """Make an answer within the block; then release its memory unless it is being sent."""
        hold = Hold(self)
        try:
            yield hold
        except BaseException:
            hold.release()
            raise
        if not hold.is_sending:
            hold.release()

    def move(self, before: int, after: int) -> None:
        """Hold ``after`` bytes instead of ``before``; wait a moment if they do not fit.

        Raises:
            Problem: 503 ``too-many-answers``.
        """
        ends_s = time.monotonic() + _MOMENT_S
        while (others := self._moved(before, after)) is not None:
            if time.monotonic() >= ends_s:
                raise _too_many("sending_bytes_max", self._bytes_max, others + after)
            self.waits.sleep(_LOOK_EVERY_S)

    def _moved(self, before: int, after: int) -> int | None:
        """Do as ``move`` if the bytes fit; otherwise return how many the other answers hold."""
        with self._lock:
            others = self._held_bytes - before
            if after <= before or others == 0 or others + after <= self._bytes_max:
                self._held_bytes = others + after
                return None
            return others


class Hold:
    """The memory that one answer holds of a gate.

    Attributes:
        is_sending: the answer is being sent, and holds the memory until it is closed.
    """

    def __init__(self, gate: SendingGate) -> None:
        self._gate = gate
        self._size = 0
        self._lock = threading.Lock()
        self.is_sending = False

    def admit(self, size: int) -> None:
        """Hold memory for an answer of this size; a store calls it before it reads the values.

        Raises:
            Problem: 503 ``too-many-answers``.
        """
        if size > LARGE_ANSWER_BYTES:
            self._resize(_COPIES * size)

    def send(self, req: falcon.Request, resp: falcon.Response, data: bytes) -> None:
        """Answer with bytes that are in memory."""
        if len(data) <= LARGE_ANSWER_BYTES or req.method == "HEAD":
            resp.data = data
            return
        self._resize(len(data))
        self._send(req, resp, lambda start, size: data[start : start + size], len(data))

    def send_value(
        self,
        req: falcon.Request,
        resp: falcon.Response,
        pieces: ValuePieces,
        *,
        first: int,
        size: int,
    ) -> None:
        """Answer with ``size`` bytes of a large value.

        Raises:
            Damaged: the checksum of the value does not match.
            Problem: 503 ``too-many-answers``.
        """
        waits = self._gate.waits
        self._resize(min(size, _QUEUED_BYTES))
        waits.work(pieces.verify)

        def read(start: int, most: int) -> bytes:
            return waits.work(lambda: pieces.read(first + start, most))

        self._send(req, resp, read, size)

    def release(self) -> None:
        """Release the memory; a second call does nothing."""
        with self._lock:
            size, self._size = self._size, 0
        if size:
            self._gate.move(size, 0)

    def _resize(self, size: int) -> None:
        self._gate.move(self._size, size)
        self._size = size

    def _send(self, req: falcon.Request, resp: falcon.Response, read: ReadPiece, size: int) -> None:
        body = LargeBody(read, size, self.release)
        make_file = req.env.get("wsgi.file_wrapper")
        resp.stream = make_file(body, _STEP_BYTES) if make_file else body
        resp.content_length = size
        req.env[SENT_BYTES] = size
        self.is_sending = True


class LargeBody:
    """The body of a large answer, which a server reads as a file or piece by piece."""

    def __init__(self, read: ReadPiece, size: int, on_close: Callable[[], None]) -> None:
        self._read = read
        self._size = size
        self._on_close = on_close
        self._position = 0
        self._piece = b""
        self._piece_start = 0

    def __del__(self) -> None:
        self.close()  # a server that never began to send it need not close it

    def read(self, size: int = -1) -> bytes:
        """Return at least one byte and up to ``size``, unless the end is reached."""
        left = self._size - self._position
        wanted = left if size < 0 else min(left, size)
        if wanted == 0:
            return b""
        # waitress reads bytes again that a socket did not take: keep the piece.
        skipped = self._position - self._piece_start
        if not 0 <= skipped < len(self._piece):
            self._piece = self._read(self._position, min(left, _STEP_BYTES))
            self._piece_start, skipped = self._position, 0
        data = self._piece[skipped : skipped + wanted]
        self._position += len(data)
        return data

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """See ``io.IOBase.seek``."""
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._size}[whence]
        self._position = base + offset
        return self._position

    def tell(self) -> int:
        """See ``io.IOBase.tell``."""
        return self._position

    def seekable(self) -> bool:
        """Return true."""
        return True

    def close(self) -> None:
        """Release the memory of the answer; a second call does nothing."""
        self._piece = b""
        self._read = _nothing
        self._on_close()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> bytes:
        piece = self.read(_STEP_BYTES)
        if not piece:
            raise StopIteration
        return piece


def link_next(resp: falcon.Response, next_url: str | None) -> None:
    """Link the next page. Call it after ``Hold.send``: a refused answer has no link."""
    if next_url is not None:
        resp.set_header("Link", f'<{next_url}>; rel="next"')


def _nothing(_start: int, _size: int) -> bytes:
    return b""


def _too_many(what: str, limit: int, got: int) -> Problem:
    members = {"limit": limit, "got": got}
    detail = over_limit_now(what, limit, got)
    return Problem(503, "too-many-answers", detail, members, headers=RETRY_LATER)
