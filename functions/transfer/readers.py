"""The reader of each format."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from rundlet_server.functions.transfer.cbor_rows import CborReader
from rundlet_server.functions.transfer.csv_rows import CsvReader
from rundlet_server.functions.transfer.formats import Format
from rundlet_server.functions.transfer.json_rows import JsonReader
from rundlet_server.functions.transfer.reading import Reader
from rundlet_server.functions.transfer.rows import Rules
from rundlet_server.functions.transfer.text_rows import TextReader

_READERS: Final[dict[Format, Callable[[Rules], Reader]]] = {
    Format.TEXT: TextReader,
    Format.JSONL: JsonReader,
    Format.CSV: CsvReader,
    Format.CBOR_SEQ: CborReader,
}


def reader_of(name: Format, rules: Rules) -> Reader:
    """Return a reader of a format, at the beginning of a file."""
    return _READERS[name](rules)
