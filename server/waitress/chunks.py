"""Read a chunked body (RFC 9112, section 7.1) in linear time and bounded memory.

waitress's own reader keeps an unfinished chunk line or trailer of any length and copies it for
each piece that arrives, so its time grows with the square of their size.
"""

from __future__ import annotations

import re
from typing import BinaryIO, Final

from waitress.buffers import OverflowableBuffer
from waitress.utilities import BadRequest

from rundlet_server.server.waitress.head import FIELD

_SIZE_LINE: Final = re.compile(rb"([0-9A-Fa-f]+)(?:;[\t\x20-\x7e\x80-\xff]*)?\r\n")
_LINE_BYTES_MAX: Final = 4_096
_OVERHEAD_BYTES_MAX: Final = 64 * 1024
_SIZE_DIGITS: Final = 16
_END: Final = b"\r\n"


class ChunkedReceiver:
    """The body of one request, while it arrives.

    Attributes:
        completed: the last chunk and the trailers have arrived.
        error: why the body is malformed; nothing after the error is read.
    """

    def __init__(self, buffer: OverflowableBuffer) -> None:
        """Collect the content in ``buffer``."""
        self.completed = False
        self.error: BadRequest | None = None
        self._buffer = buffer
        self._left = 0  # bytes of the current chunk that have not arrived
        self._line = bytearray()  # the part of a line that has arrived
        self._overhead_bytes = 0  # of extensions and trailers
        self._take = self._take_size

    def __len__(self) -> int:
        """Return the number of bytes of content so far."""
        return len(self._buffer)

    def received(self, data: bytes) -> int:
        """Read received bytes; return how many of them belong to the body."""
        position = 0
        pieces: list[bytes] = []
        while position < len(data) and not self.completed and self.error is None:
            if self._left:
                piece = data[position : position + self._left]
                pieces.append(piece)
                position += len(piece)
                self._left -= len(piece)
            else:
                position = self._take_line(data, position)
        if pieces:
            self._buffer.append(b"".join(pieces))
        return position

    def getfile(self) -> BinaryIO:
        """Return the content as a file."""
        file: BinaryIO = self._buffer.getfile()
        return file

    def getbuf(self) -> OverflowableBuffer:
        """Return the buffer with the content."""
        return self._buffer

    def _take_line(self, data: bytes, position: int) -> int:
        """Read a line, or the received part of it; return the position after it."""
        found = data.find(b"\n", position) + 1
        end = found or len(data)
        self._line += data[position:end]
        if len(self._line) > _LINE_BYTES_MAX:
            self._refuse("a chunk line or trailer is too long")
        elif found:
            line = bytes(self._line)
            self._line.clear()
            self._take(line)
        elif self._take == self._take_end and not _END.startswith(self._line):
            self._refuse(_NOT_ENDED)
        return end

    def _take_size(self, line: bytes) -> None:
        found = _SIZE_LINE.fullmatch(line)
        if found is None:
            self._refuse("a chunk size is malformed; send hexadecimal digits and CRLF")
            return
        digits = found[1].lstrip(b"0")
        self._count_overhead(len(line) - len(digits))
        # A size with more digits exceeds every limit, so its exact value does not matter.
        self._left = int(digits[:_SIZE_DIGITS] or b"0", 16)
        self._take = self._take_end if self._left else self._take_trailer

    def _take_end(self, line: bytes) -> None:
        if line != _END:
            self._refuse(_NOT_ENDED)
        self._take = self._take_size

    def _take_trailer(self, line: bytes) -> None:
        """Check a trailer and drop it, because the server uses none."""
        self._count_overhead(len(line))
        if line == _END:
            self.completed = True
        elif not FIELD.fullmatch(line):
            self._refuse("a trailer after the last chunk is malformed; send NAME: VALUE and CRLF")

    def _count_overhead(self, size: int) -> None:
        self._overhead_bytes += max(0, size - _USUAL_LINE_BYTES)
        if self._overhead_bytes > _OVERHEAD_BYTES_MAX:
            self._refuse("the chunk extensions and trailers are too long")

    def _refuse(self, detail: str) -> None:
        self.error = BadRequest(detail)


_NOT_ENDED: Final = "a chunk is longer or shorter than its size, or does not end with CRLF"
_USUAL_LINE_BYTES: Final = 2
