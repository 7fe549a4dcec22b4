"""The formats of ``import`` and ``export``, and which file has which."""

from __future__ import annotations

import codecs
import enum
import re
import shlex
from pathlib import Path
from typing import BinaryIO, Final

from rundlet_server.cli.exits import CommandError, ExitCode


class Format(enum.StrEnum):
    """How a file holds keys and values."""

    TEXT = "text"  # KEY SP VALUE LF, see storage.textfile
    JSONL = "jsonl"  # see jsonlines


_BY_ENDING: Final = {
    ".jsonl": Format.JSONL,
    ".ndjson": Format.JSONL,
    ".data": Format.TEXT,
    ".txt": Format.TEXT,
}
_HEAD_BYTES: Final = 64 * 1024
_GZIP: Final = b"\x1f\x8b"
_LINE_OF_UUID: Final = re.compile(rb"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}[ \t]", re.I | re.M)


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


def format_read(file: Path, opened: BinaryIO, given: Format | None, *, any_key: bool) -> Format:
    """Return the format asked for, else that of the file's ending, else that of its first bytes.

    Args:
        file: its path; ``-`` is stdin.
        opened: its bytes, seekable; the place in them changes.
        given: the format asked for.
        any_key: lines of text need not begin with a UUID.

    Raises:
        CommandError: the file is compressed, or its first bytes are of no format.
    """
    opened.seek(0)
    head = opened.read(_HEAD_BYTES)
    if head.startswith(_GZIP):
        name = "FILE" if str(file) == "-" else shlex.quote(str(file))
        raise _refused(file, f"compressed with gzip; run gunzip -c {name} | rundlet import -")
    return given or _BY_ENDING.get(file.suffix.lower()) or _recognized(file, head, any_key=any_key)


def _recognized(file: Path, head: bytes, *, any_key: bool) -> Format:
    start = head.removeprefix(codecs.BOM_UTF8).lstrip()[:1]
    if start in {b"", b"{"}:  # an export of no keys is empty
        return Format.JSONL
    if start == b"[":
        raise _refused(file, "a JSON array; write one object on each line, without the brackets")
    if any_key or _LINE_OF_UUID.search(head.removeprefix(codecs.BOM_UTF8)):
        return Format.TEXT
    what = "of a format that is not recognized; give --format text or jsonl, or --any-key if lines"
    raise _refused(file, f"{what} begin with keys that are not UUIDs")


def _refused(file: Path, what: str) -> CommandError:
    name = "stdin" if str(file) == "-" else str(file)
    return CommandError(f"{name} is {what}", ExitCode.USAGE)
