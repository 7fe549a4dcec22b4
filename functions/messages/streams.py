"""Answers of unknown size, sent while they are made.

A client may read as slowly as it likes, so the number of such answers is bounded (see ``places``),
and only a piece of each is in memory. An answer that breaks off must not look complete: with
HTTP/1.1 its last chunk is missing. HTTP/1.0 has no chunks, so it is refused. Some servers end every
answer as if it were complete; there, a broken answer ends with bytes that belong to no row, and
gzip without its trailer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Self

import falcon

from rundlet_server.functions.limits import over_limit_now
from rundlet_server.functions.messages.gates import Gates
from rundlet_server.functions.messages.places import TakenPlace
from rundlet_server.functions.problems import RETRY_LATER, Problem
from rundlet_server.functions.waits import Waits


class Stream:
    """The body of an answer that is made while it is sent.

    If it is freed without being closed, the contexts on its stack are freed, too, and not exited:
    an exit may wait for a lock or a network, and the garbage collector runs in any thread.
    """

    def __init__(
        self, pieces: Iterator[bytes], broken_end: bytes, on_close: ExitStack, waits: Waits
    ) -> None:
        """Send pieces.

        Args:
            pieces: as they are made.
            broken_end: sent before an exception of ``pieces`` is raised again.
            on_close: closed when the client has read the whole answer or has disconnected.
            waits: how requests wait.
        """
        self._pieces = pieces
        self._waits = waits
        self._broken_end = broken_end
        self._on_close = on_close
        self._failure: BaseException | None = None

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> bytes:
        if self._failure is not None:
            raise self._failure
        try:
            piece = self._waits.work(self._next)
        except BaseException as ex:
            if not self._broken_end:
                raise
            self._failure = ex
            return self._broken_end
        if piece is None:
            raise StopIteration
        return piece

    def _next(self) -> bytes | None:
        return next(self._pieces, None)

    def close(self) -> None:
        """Release the place and files of the answer; a second call does nothing."""
        self._on_close.close()


def send_stream(
    req: falcon.Request,
    resp: falcon.Response,
    gates: Gates,
    make: Callable[[ExitStack], tuple[Iterator[bytes], bytes]],
) -> None:
    """Answer with a stream.

    Args:
        req: the request.
        resp: its answer.
        gates: the bounds of the process, with the places for such answers.
        make: returns the pieces, and the bytes to send after them if they break off. The contexts
            that it enters on the stack are closed when the answer ends.

    Raises:
        Problem: 505 for HTTP/1.0; 503 ``too-many-answers``.
    """
    if req.env.get("SERVER_PROTOCOL") == "HTTP/1.0":
        detail = "with HTTP/1.0 an answer that breaks off looks whole; send the request as HTTP/1.1"
        raise Problem(505, "http-version", detail)
    places, waits = gates.exports, gates.waits
    with ExitStack() as stack:
        if not places.take():
            members = {"limit": places.most, "got": places.most + 1}
            detail = over_limit_now("exports_max", places.most, places.most + 1)
            raise Problem(503, "too-many-answers", detail, members, headers=RETRY_LATER)
        stack.callback(TakenPlace(places.give_back).give_back)
        pieces, broken_end = waits.work(lambda: make(stack))
        ends_itself = "wsgi.file_wrapper" in req.env
        resp.stream = Stream(pieces, b"" if ends_itself else broken_end, stack.pop_all(), waits)
