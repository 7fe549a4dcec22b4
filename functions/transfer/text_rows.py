"""Read key-value text: ``KEY SP VALUE LF``; ``storage.textfile`` defines good lines."""

from __future__ import annotations

from rundlet_server.functions.transfer.reading import LineReader
from rundlet_server.functions.transfer.rows import Rows
from rundlet_server.storage.textfile.loading import rows_of
from rundlet_server.storage.textfile.parsing import check_block, numbers_of


class TextReader(LineReader):
    """Reads lines of text."""

    def begun(self, block: bytes) -> bytes:
        """Keep a byte-order mark: it is a part of the first key."""
        return block

    def parsed(self, block: bytes, line: int) -> Rows:
        """See ``LineReader``."""
        rules = self.rules
        if rules.strip_cr:
            block = block.replace(b"\r\n", b"\n").removesuffix(b"\r")
        lines = check_block(block, line, any_key=rules.any_key, limits=rules.limits)
        rows = rows_of(lines)
        numbers = numbers_of(lines, line) if lines.bad else range(line, line + len(rows))
        found = Rows(rows, numbers)
        for error in lines.first_errors:
            found.refuse(error.number, error.reason)
        found.bad_count = lines.bad
        return found
