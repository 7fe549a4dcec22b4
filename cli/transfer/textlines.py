"""Write key-value text files.

``storage.textfile`` defines good lines.
"""

from __future__ import annotations

import codecs

from rundlet import Value
from rundlet_server.cli.exits import CommandError, ExitCode
from rundlet_server.storage.textfile.lines import content_type_of, is_json


class TextLines:
    """Makes the lines of one text file.

    Attributes:
        lossy_count: values whose time to live or content type an import does not restore.
    """

    def __init__(self) -> None:
        self.lossy_count = 0
        self._is_first = True

    def line_of(self, value: Value) -> bytes:
        """Return the line of a value.

        Raises:
            CommandError: an import would not read the same key and value.
        """
        line = value.key.encode() + b" " + value.data + b"\n"
        is_taken_for_mark = self._is_first and line.startswith(codecs.BOM_UTF8)
        if is_taken_for_mark or b"\n" in line[:-1] or " " in value.key or is_json(line[:-1]):
            message = (
                f"key {value.key!r} or its value does not fit on a line of text; export .jsonl"
            )
            raise CommandError(message, ExitCode.USAGE)
        self._is_first = False
        is_restored = value.expires is None and value.content_type == content_type_of(value.data)
        self.lossy_count += not is_restored
        return line
