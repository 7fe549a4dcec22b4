"""Cut a stream of bytes into rows, in bounded memory and linear time.

The caller feeds a reader bytes in pieces of any size; the reader returns the complete rows. Each
format has a module that parses its rows; this one finds the ends of rows that end with a line feed.
"""

from __future__ import annotations

import codecs
from abc import ABC, abstractmethod
from typing import Final, Protocol

from rundlet_server.functions.transfer.rows import Rows, Rules

_NEWLINE: Final = 0x0A


class Reader(Protocol):
    """Reads rows of one format."""

    def feed(self, data: bytes) -> Rows:
        """Take the next bytes of the file; return the rows that are complete now."""

    def end(self) -> Rows:
        """Return the remaining rows at the end of the file."""


class LineReader(ABC):
    """Finds the ends of rows that are lines; a subclass parses the rows.

    A row that is longer than ``Rules.row_bytes_max`` is bad; its bytes are dropped as they arrive.
    """

    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        self._pieces: list[bytes] = []
        self._size = 0
        self._line = 1
        self._is_begun = False
        self._is_dropping = False

    def feed(self, data: bytes) -> Rows:
        """See ``Reader``."""
        end = self._last_end(data)
        if self._is_dropping:
            if end == 0:
                return Rows()
            # The first line feed ends the long row; the rows after it are read again.
            end_of_long = self._first_end(data)
            self._is_dropping = False
            self._line += 1
            return self.feed_rest(data[end_of_long:])
        if end == 0:
            self._keep(data)
            return self._dropped() if self._size > self.rules.row_bytes_max else Rows()
        self._pieces.append(data[:end])
        block = b"".join(self._pieces)
        self._pieces, self._size = [], 0
        self._keep(data[end:])
        return self._block(block)

    def feed_rest(self, data: bytes) -> Rows:
        """Read the bytes after a row that was dropped."""
        return self.feed(data) if data else Rows()

    def end(self) -> Rows:
        """See ``Reader``."""
        block = b"".join(self._pieces)
        self._pieces, self._size = [], 0
        return self._block(block) if block and not self._is_dropping else Rows()

    def _keep(self, data: bytes) -> None:
        if data:
            self._pieces.append(data)
            self._size += len(data)

    def _dropped(self) -> Rows:
        self._pieces, self._size = [], 0
        self._is_dropping = True
        most = self.rules.row_bytes_max
        found = Rows()
        found.refuse(self._line, f"the line is longer than {most} bytes")
        return found

    def _block(self, block: bytes) -> Rows:
        if not self._is_begun:
            self._is_begun = True
            block = self.begun(block)
        if not block:
            return Rows()
        rows = self.parsed(block, self._line)
        self._line += block.count(b"\n") + (block[-1] != _NEWLINE)
        return rows

    def begun(self, block: bytes) -> bytes:
        """Return the first block without a byte-order mark."""
        return block.removeprefix(codecs.BOM_UTF8)

    def _last_end(self, data: bytes) -> int:
        """Return the end of the last row that ends within ``data``; 0 if none does."""
        return data.rfind(b"\n") + 1

    def _first_end(self, data: bytes) -> int:
        return data.find(b"\n") + 1

    @abstractmethod
    def parsed(self, block: bytes, line: int) -> Rows:
        """Return the rows of a block of whole rows, the first of which is on ``line``."""
