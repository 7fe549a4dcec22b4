"""Count the received bytes of bodies, decode large ones in turn, and discard unread ones."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import Final

import falcon

from rundlet_server.storage.forks import listen_for_forks

_LARGE_BYTES: Final = 1024 * 1024

RECEIVED_BYTES: Final = "rundlet.received_bytes"
"""The environ variable with the number of bytes read of a request's body. ``Content-Length`` is
only a claim, and a chunked body has none."""

DISCARD_BYTES_MAX: Final = 128 * 1024 * 1024
_DISCARD_STEP_BYTES: Final = 256 * 1024


class DecodingTurns:
    """Lets the large bodies of this process be decoded one at a time.

    A decoder holds Python's global lock: some 0.1 s for 60 MB. Many at once would make all other
    threads wait for many such turns, and would need memory for all these bodies.
    """

    def __init__(self) -> None:
        self._begin()
        listen_for_forks(self)

    def _begin(self) -> None:
        self._decoding = threading.Lock()

    def after_fork(self) -> None:
        """Release the lock in a forked child, which has no thread that decodes."""
        self._begin()

    @contextlib.contextmanager
    def decoding(self, size: int) -> Iterator[None]:
        """Decode a body of ``size`` bytes within the block, which must not wait for anything."""
        if size < _LARGE_BYTES:
            yield
            return
        with self._decoding:
            yield


def discard_body(req: falcon.Request) -> None:
    """Read and discard the rest of a body, so that the client reads the answer.

    Some servers close a connection if the request was not read to its end; a client that is still
    sending then gets a broken pipe instead of the answer. If the server does not mark the end of
    the input, a read could block for ever, so nothing is read. Nor is anything read if the client
    waits for "100 Continue", since it has sent no body yet.
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
    """Add the size of a part of a body to the bytes read."""
    before = environ.get(RECEIVED_BYTES, 0)
    assert isinstance(before, int)
    environ[RECEIVED_BYTES] = before + size
