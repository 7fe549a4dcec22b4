"""Parse a request of waitress while it arrives: find its end, or reject it at once."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final
from urllib.parse import unquote_to_bytes

from waitress.adjustments import Adjustments
from waitress.buffers import OverflowableBuffer
from waitress.parser import HTTPRequestParser
from waitress.receiver import FixedStreamReceiver
from waitress.utilities import Error

from rundlet_server.functions.messages.target import raw_path
from rundlet_server.server.messages.checks import framing_of
from rundlet_server.server.messages.refusals import HeadError
from rundlet_server.server.waitress.chunks import ChunkedReceiver
from rundlet_server.server.waitress.errors import RefusedHead
from rundlet_server.server.waitress.head import check_beginning, parse_head

BodyLimit = Callable[[str], int]
"""The largest body that the app accepts, by the path of the request."""

_HEAD_END: Final = b"\r\n\r\n"


class StrictParser(HTTPRequestParser):  # type: ignore[misc] # waitress has no types
    """A parser that rejects requests which two servers in a row could interpret differently.

    It replaces waitress's parsing and keeps its interface: the attributes that ``HTTPChannel`` and
    the tasks read.

    Attributes:
        began_s: when the first byte of the request arrived.
        method: as the client sent it, even if the rest of the request is malformed or too long.
        is_body_unread: the app gets the request without its body, which is over the app's limit.
            ``CONTENT_LENGTH`` is the size of the body, or of the part that arrived, and the app
            rejects the request because of it.
        expect_continue: the client waits for 100 before it sends the body.
    """

    error: Error | None
    body_rcv: FixedStreamReceiver | ChunkedReceiver | None

    def __init__(self, adj: Adjustments, body_limit: BodyLimit | None = None) -> None:
        """Read bodies up to ``body_limit``, or else up to waitress's ``max_request_body_size``."""
        super().__init__(adj)
        self.began_s = time.time()
        self.method = ""
        self.version = "1.1"  # of the answer, if the request line cannot be parsed
        self.path = ""
        self.is_body_unread = False
        self._body_limit = body_limit
        self._body_bytes_max: int = adj.max_request_body_size
        self._head = bytearray()

    @property
    def is_last(self) -> bool:
        """Whether the connection is closed after the answer, whatever follows the request."""
        connection = self.headers.get("CONNECTION")
        is_kept = connection != "close" if self.version == "1.1" else connection == "keep-alive"
        return self.error is not None or not is_kept

    def received(self, data: bytes) -> int:
        """Read received bytes; return how many of them belong to this request."""
        if self.completed:
            return 0
        return self._receive_body(data) if self.headers_finished else self._receive_head(data)

    def _receive_head(self, data: bytes) -> int:
        before = len(self._head)
        self._head += data
        found = self._head.find(_HEAD_END, max(0, before - len(_HEAD_END) + 1))
        size = len(self._head) if found < 0 else found + len(_HEAD_END)
        self.header_bytes_received = size
        self.headers_finished = found >= 0
        try:
            if size >= self.adj.max_request_header_size:
                raise HeadError(431, f"exceeds max_header of {self.adj.max_request_header_size}")
            if self.headers_finished:
                self._begin(bytes(self._head[:size]).removeprefix(b"\r\n"))
            else:
                check_beginning(self._head, before)
        except HeadError as ex:
            self.method = self._head.split(b" ", 1)[0].decode("latin-1").strip()
            self._refuse(ex.status, ex.detail)
        return size - before

    def _begin(self, data: bytes) -> None:
        """Parse the head, and decide where the body ends."""
        if data == b"\r\n":  # some clients send a CRLF too many after a body
            self.empty = self.completed = True
            return
        head = parse_head(data)
        self.command = self.method = head.method
        self.request_uri = head.target
        self.version = head.version
        self.headers = head.headers
        path = raw_path({"REQUEST_URI": head.target})
        self.path = unquote_to_bytes(path).decode("latin-1")
        self.query = head.target.partition("#")[0].partition("?")[2]
        self.url_scheme = self.adj.url_scheme
        self._reduce_connection()
        if self._body_limit is not None:
            self._body_bytes_max = self._body_limit(path)
        self._expect_body()

    def _reduce_connection(self) -> None:
        """Reduce ``Connection`` to the option that waitress knows: ``close`` or ``keep-alive``."""
        options = {x.strip(" \t").lower() for x in self.headers.pop("CONNECTION", "").split(",")}
        for option in ("close", "keep-alive"):
            if option in options:
                self.headers["CONNECTION"] = option
                return

    def _expect_body(self) -> None:
        codings = self.headers.pop("TRANSFER_ENCODING", None)
        framing = framing_of(codings, self.headers.get("CONTENT_LENGTH"), self.version)
        if framing.is_chunked:
            self.chunked = True
            self.body_rcv = ChunkedReceiver(self._new_buffer())
        else:
            self._expect_size(framing.size)
        if self.body_rcv is None:
            self.completed = True
        elif self.version == "1.1":  # HTTP/1.0 has no 100
            expected = self.headers.get("EXPECT", "").lower().split(",")
            self.expect_continue = "100-continue" in (x.strip(" \t") for x in expected)

    def _expect_size(self, size: int) -> None:
        self.content_length = size
        if size > self._body_bytes_max:
            self._leave_body_unread(size)
        elif size:
            self.body_rcv = FixedStreamReceiver(size, self._new_buffer())

    def _receive_body(self, data: bytes) -> int:
        body = self.body_rcv
        assert body is not None, "a request without a body is complete"
        consumed: int = body.received(data)
        self.body_bytes_received += consumed
        size = len(body)
        if size > self._body_bytes_max:  # only chunks: a length was checked before
            self._leave_body_unread(size)
        elif body.error:
            self._refuse(400, body.error.body)
        elif body.completed:
            self.completed = True
            self.expect_continue = False
            if self.chunked:  # for the app it is a body with a length
                self.headers["CONTENT_LENGTH"] = str(size)
        return consumed

    def _leave_body_unread(self, size: int) -> None:
        """End the request without its body, of which ``size`` bytes came or were announced."""
        self.close()
        self.body_rcv = None
        self.headers["CONTENT_LENGTH"] = str(size)
        self.headers["CONNECTION"] = "close"  # where the next request begins is not known
        self.expect_continue = False
        self.is_body_unread = self.completed = True

    def _refuse(self, status: int, detail: str) -> None:
        self.error = RefusedHead(status, detail)
        self.expect_continue = False
        self.completed = True

    def _new_buffer(self) -> OverflowableBuffer:
        return OverflowableBuffer(self.adj.inbuf_overflow)
