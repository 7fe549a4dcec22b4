"""The formats of ``import`` and ``export``, and which file has which."""

from __future__ import annotations

import enum
from pathlib import Path

from rundlet_server.cli.exits import CommandError, ExitCode


class Format(enum.StrEnum):
    """How a file holds keys and values."""

    TEXT = "text"  # KEY SP VALUE LF, see storage.textfile
    JSONL = "jsonl"  # see jsonlines


_BY_ENDING = {
    ".jsonl": Format.JSONL,
    ".ndjson": Format.JSONL,
    ".data": Format.TEXT,
    ".txt": Format.TEXT,
}


def format_of(file: Path, given: Format | None) -> Format:
    """Return the format asked for, else the format of the file's ending.

    Raises:
        CommandError: no format has this ending.
    """
    found = given or _BY_ENDING.get(file.suffix.lower())
    if found is None:
        endings = ", ".join(_BY_ENDING)
        message = f"{file}: the ending is none of {endings}; give --format text or jsonl"
        raise CommandError(message, ExitCode.USAGE)
    return found
