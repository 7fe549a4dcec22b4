"""Key-value text files: checked, loaded into a store, or served as they are.

``lines`` defines a good line, ``parsing`` checks many at once. ``loading`` loads a file into a
store, and ``marks`` remembers that it did. ``store`` serves a file read-only by its ``index``;
``index_place`` finds a place for the index, ``sorting`` sorts its keys.
"""

from rundlet_server.storage.textfile.lines import (
    BadFile,
    BadLine,
    LineError,
    content_type_of,
    split_line,
)
from rundlet_server.storage.textfile.loading import LoadReport, load_text_file
from rundlet_server.storage.textfile.parsing import Lines, parse_lines
from rundlet_server.storage.textfile.store import TextFileStore, open_text_file

__all__ = [
    "BadFile",
    "BadLine",
    "LineError",
    "Lines",
    "LoadReport",
    "TextFileStore",
    "content_type_of",
    "load_text_file",
    "open_text_file",
    "parse_lines",
    "split_line",
]
