"""Key-value text files as rows; ``storage.textfile`` says what a good line is."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from rundlet_server.cli.transfer.jsonlines import BadLine, Row
from rundlet_server.storage.textfile.lines import LineError, content_type_of, split_line


def read_text_rows(
    lines: Iterable[bytes], *, any_key: bool, strip_cr: bool = False
) -> Iterator[tuple[int, Row | BadLine]]:
    """Yield the rows of a file with the numbers of their lines from 1.

    Args:
        lines: with their newlines.
        any_key: keys need not be UUIDs.
        strip_cr: lines end in CRLF; the carriage return is not part of the value.
    """
    for number, line in enumerate(lines, start=1):
        try:
            bare = line.removesuffix(b"\n")
            bare = bare.removesuffix(b"\r") if strip_cr else bare
            key, value = split_line(bare, any_key=any_key)
        except LineError as ex:
            yield number, BadLine(str(ex))
        else:
            yield number, Row(key.decode(), value, content_type_of(value))
