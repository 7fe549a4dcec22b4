"""How many bodies may be waited for at a time.

A server that hands bodies on as they come, as Granian does, waits for a slow one in a thread that
could answer others. Such a read ends when the client sends or goes, or when the server ends a
connection on which nothing moves. So only some of the threads may wait for bodies, and the rest
always answer.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from queue import Empty, SimpleQueue
from typing import Final

import falcon
from falcon.typing import ReadableIO

from rundlet_server.functions.limits import SET_BY
from rundlet_server.functions.problems import RETRY_LATER, Member, Problem

_PATIENCE_S: Final = 0.02
"""Bodies that are there already are read in far less; a burst of them is not refused."""

_LARGE_BYTES: Final = 1024 * 1024

RECEIVED_BYTES: Final = "rundlet.received_bytes"
"""Where the environment of a request keeps how much of its body was read. What it promises to
send is only a claim, and chunks promise nothing."""

DISCARD_BYTES_MAX: Final = 128 * 1024 * 1024
DISCARD_STEP_BYTES: Final = 256 * 1024


class UploadGate:
    """Lets at most so many threads of this process wait for bodies."""

    def __init__(self, most: int | None = None) -> None:
        """``most`` threads; ``None`` where the server reads whole bodies before it calls."""
        self._most = most
        self._decoding = threading.Lock()
        # Places that are free. Python's semaphore is a condition around a lock, where the threads
        # of a busy server meet and switch once more for every body.
        self._free: SimpleQueue[None] = SimpleQueue()
        for _ in range(most or 0):
            self._free.put(None)

    @contextlib.contextmanager
    def held(self, patience_s: float = _PATIENCE_S) -> Iterator[None]:
        """Wait for a body within the block, after at most ``patience_s`` for a place.

        Raises:
            Problem: 503 ``too-many-uploads``.
        """
        if self._most is None:
            yield
            return
        try:
            self._free.get(timeout=patience_s)
        except Empty as ex:
            detail = (
                f"uploads_max is {self._most}, and so many bodies are being waited for already;"
                f" send it again later, or raise {SET_BY['uploads_max']} on the server"
            )
            limit: dict[str, Member] = {"limit": self._most}
            raise Problem(503, "too-many-uploads", detail, limit, headers=RETRY_LATER) from ex
        try:
            yield
        finally:
            self._free.put(None)

    @contextlib.contextmanager
    def decoding(self, size: int) -> Iterator[None]:
        """Decode a body of ``size`` bytes within the block: of large ones, one at a time.

        Python's decoders let no other thread run, 60 MB for some 0.1 s: many at once would make all
        others wait for many such turns, and take many times its size in memory.
        """
        if size < _LARGE_BYTES:
            yield
            return
        with self._decoding:
            yield

    def discard(self, req: falcon.Request) -> None:
        """Read on what a client is still sending, so that it gets to read the answer.

        Granian closes a connection whose request was not read to its end, and a client in the
        middle of sending then sees a broken pipe instead of the reason. Servers that do not mark
        the end of the input, where reading on could wait for ever, are left alone; and a client
        that waits for "100 Continue" has sent nothing yet, and now need not.
        """
        environ = req.env
        size = environ.get("CONTENT_LENGTH", "0")
        if size.isdecimal() and int(size[:20]) > DISCARD_BYTES_MAX:
            return  # it would be cut off all the same
        has_body = size != "0" or "HTTP_TRANSFER_ENCODING" in environ
        if not has_body or not environ.get("wsgi.input_terminated") or "HTTP_EXPECT" in environ:
            return
        try:
            with self.held(patience_s=0):
                _discard(environ, req.stream)
        except (OSError, Problem):  # the client is gone, or must do without
            return


def _discard(environ: dict[str, object], stream: ReadableIO) -> None:
    left = DISCARD_BYTES_MAX
    while left > 0 and (piece := stream.read(DISCARD_STEP_BYTES)):
        left -= DISCARD_STEP_BYTES
        note_received(environ, len(piece))


def note_received(environ: dict[str, object], size: int) -> None:
    """Count a part of a body that was read."""
    before = environ.get(RECEIVED_BYTES, 0)
    assert isinstance(before, int)
    environ[RECEIVED_BYTES] = before + size
