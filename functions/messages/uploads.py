"""How many bodies may be waited for at a time.

Granian hands bodies on as they come, so a slow one is waited for in a thread that could answer
other requests. Such a read ends when the client sends or disconnects, or when the server closes an
idle connection. So only some of the threads may wait for bodies, and the rest always answer.
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
from rundlet_server.storage.forks import listen_for_forks

_PATIENCE_S: Final = 0.02
"""A body that has arrived is read in far less, so a burst of them is not refused."""

_LARGE_BYTES: Final = 1024 * 1024

RECEIVED_BYTES: Final = "rundlet.received_bytes"
"""Where the environment of a request keeps how much of its body was read. ``Content-Length`` is
only a claim, and a chunked body has none."""

DISCARD_BYTES_MAX: Final = 128 * 1024 * 1024
DISCARD_STEP_BYTES: Final = 256 * 1024


class UploadGate:
    """Lets at most so many threads of this process wait for bodies."""

    def __init__(self, most: int | None = None) -> None:
        """``most`` threads; ``None`` if the server reads whole bodies before it calls."""
        self._most = most
        self._begin()
        listen_for_forks(self)

    def _begin(self) -> None:
        self._decoding = threading.Lock()
        # Free places. Python's semaphore is a condition around a lock, at which the threads of a
        # busy server contend and switch once more for every body.
        self._free: SimpleQueue[None] = SimpleQueue()
        for _ in range(self._most or 0):
            self._free.put(None)

    def after_fork(self) -> None:
        """Free all places in a forked child, which has no thread that waits for a body."""
        self._begin()

    def spare(self) -> int:
        """Return how many more threads could wait for bodies at the moment."""
        return self._free.qsize()

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
                f"the server already waits for {self._most} bodies, and the limit uploads_max is"
                f" {self._most}; send the request again later, or raise {SET_BY['uploads_max']} on"
                " the server"
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
        """Read and drop what a client is still sending, so that it reads the answer.

        Granian closes a connection whose request was not read to its end, and a client that is
        still sending then sees a broken pipe instead of the answer. Nothing is read from a server
        that does not mark the end of the input, as such a read could wait for ever, nor from a
        client that waits for "100 Continue", as it has sent nothing yet.
        """
        environ = req.env
        size = environ.get("CONTENT_LENGTH", "0")
        if size.isdecimal() and int(size[:20]) > DISCARD_BYTES_MAX:
            return  # the connection would be closed all the same
        has_body = size != "0" or "HTTP_TRANSFER_ENCODING" in environ
        if not has_body or not environ.get("wsgi.input_terminated") or "HTTP_EXPECT" in environ:
            return
        try:
            with self.held(patience_s=0):
                _discard(environ, req.stream)
        except (OSError, Problem):  # the client has disconnected, or no place is free
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
