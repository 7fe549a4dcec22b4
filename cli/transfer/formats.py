"""Recognize the format of a file by its extension or by its first bytes."""

from __future__ import annotations

import codecs
import re
from pathlib import Path
from typing import BinaryIO, Final

from rundlet_server.cli.exits import CommandError, ExitCode
from rundlet_server.functions.transfer.formats import CSV_COLUMNS, Format

GZIP_ENDING: Final = ".gz"
_BY_ENDING: Final = {
    ".jsonl": Format.JSONL,
    ".ndjson": Format.JSONL,
    ".csv": Format.CSV,
    ".cbor": Format.CBOR_SEQ,
    ".cborseq": Format.CBOR_SEQ,
    ".data": Format.TEXT,
    ".txt": Format.TEXT,
}
_NAMES: Final = "text, jsonl, csv or cbor-seq"
_HEAD_BYTES: Final = 64 * 1024
_LINE_OF_UUID: Final = re.compile(rb"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}[ \t]", re.I | re.M)
_CSV_COLUMN: Final = f'"?(?:{"|".join(CSV_COLUMNS)})"?'
_CSV_HEADER: Final = re.compile(rf"{_CSV_COLUMN}(?:,{_CSV_COLUMN})+\r?(?:\n|\Z)".encode(), re.I)
_CBOR_MAP_OF_TEXT: Final = re.compile(rb"[\xa2-\xa8][\x63-\x6c][a-z_]{3}")


def is_packed(file: Path) -> bool:
    """Return whether a file is compressed, by its extension."""
    return file.suffix.lower() == GZIP_ENDING


def format_of(file: Path, given: Format | None) -> Format:
    """Return the given format, else the format for the file's extension.

    Raises:
        CommandError: the extension is unknown.
    """
    found = given or _by_ending(file)
    if found is None:
        endings = ", ".join(_BY_ENDING)
        message = f"{file}: the ending is none of {endings}; give --format {_NAMES}"
        raise CommandError(message, ExitCode.USAGE)
    return found


def format_read(file: Path, opened: BinaryIO, given: Format | None, *, any_key: bool) -> Format:
    """Return the given format, else that for the file's extension, else that of its first bytes.

    Args:
        file: its path; ``-`` is stdin.
        opened: its bytes, decompressed and seekable; the position changes.
        given: the format that the user gave, if any.
        any_key: lines of text need not begin with a UUID.

    Raises:
        CommandError: the first bytes match no format.
    """
    found = given or _by_ending(file)
    if found is None:
        opened.seek(0)
        found = _recognized(file, opened.read(_HEAD_BYTES), any_key=any_key)
    return found


def _by_ending(file: Path) -> Format | None:
    name = file.with_suffix("") if is_packed(file) else file
    return _BY_ENDING.get(name.suffix.lower())


def _recognized(file: Path, head: bytes, *, any_key: bool) -> Format:
    if _CBOR_MAP_OF_TEXT.match(head):
        return Format.CBOR_SEQ
    bare = head.removeprefix(codecs.BOM_UTF8)
    start = bare.lstrip()[:1]
    if start in {b"", b"{"}:  # an export of no keys is empty
        return Format.JSONL
    if start == b"[":
        raise _refused(file, "a JSON array; write one object on each line, without the brackets")
    if _CSV_HEADER.match(bare):
        return Format.CSV
    if any_key or _LINE_OF_UUID.search(bare):
        return Format.TEXT
    what = f"of a format that is not recognized; give --format {_NAMES}, or --any-key if lines"
    raise _refused(file, f"{what} begin with keys that are not UUIDs")


def _refused(file: Path, what: str) -> CommandError:
    name = "stdin" if str(file) == "-" else str(file)
    return CommandError(f"{name} is {what}", ExitCode.USAGE)
