"""Bodies on their way in: counted, decoded in turn, and dropped if they are unwanted."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import Final

import falcon

from rundlet_server.storage.forks import listen_for_forks

_LARGE_BYTES: Final = 1024 * 1024

RECEIVED_BYTES: Final = "rundlet.received_bytes"
"""Where the environment of a request keeps how much of its body was read. ``Content-Length`` is
only a claim, and a chunked body has none."""

DISCARD_BYTES_MAX: Final = 128 * 1024 * 1024
_DISCARD_STEP_BYTES: Final = 256 * 1024


class DecodingTurns:
    """Lets the large bodies of this process be decoded one at a time.

    Python's decoders let no other thread run, 60 MB for some 0.1 s: many at once would make all
    others wait for many such turns, and take many times its size in memory.
    """

    def __init__(self) -> None:
        self._begin()
        listen_for_forks(self)

    def _begin(self) -> None:
        self._decoding = threading.Lock()

    def after_fork(self) -> None:
        """Begin anew in a forked child, which has no thread that decodes."""
        self._begin()

    @contextlib.contextmanager
    def decoding(self, size: int) -> Iterator[None]:
        """Decode a body of ``size`` bytes within the block, which does nothing that waits."""
        if size < _LARGE_BYTES:
            yield
            return
        with self._decoding:
            yield


def discard_body(req: falcon.Request) -> None:
    """Read and drop what a client is still sending, so that it reads the answer.

    Some servers close a connection whose request was not read to its end, and a client that is
    still sending then sees a broken pipe instead of the answer. Nothing is read from a server that
    does not mark the end of the input, as such a read could wait for ever, nor from a client that
    waits for "100 Continue", as it has sent nothing yet.
    """
    environ = req.env
    size = environ.get("CONTENT_LENGTH", "0")
    if size.isdecimal() and int(size[:20]) > DISCARD_BYTES_MAX:
        return  # the connection would be closed all the same
    has_body = size != "0" or "HTTP_TRANSFER_ENCODING" in environ
    if not has_body or not environ.get("wsgi.input_terminated") or "HTTP_EXPECT" in environ:
        return
    with contextlib.suppress(OSError):  # the client has disconnected
        left = DISCARD_BYTES_MAX
        while left > 0 and (piece := req.stream.read(_DISCARD_STEP_BYTES)):
            left -= _DISCARD_STEP_BYTES
            note_received(environ, len(piece))


def note_received(environ: dict[str, object], size: int) -> None:
    """Count a part of a body that was read."""
    before = environ.get(RECEIVED_BYTES, 0)
    assert isinstance(before, int)
    environ[RECEIVED_BYTES] = before + size
