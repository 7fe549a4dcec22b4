"""Values and content types given on the command line or in files."""

from __future__ import annotations

import os
import re
from pathlib import Path

import typer

from rundlet import DEFAULT_CONTENT_TYPE, TEXT_CONTENT_TYPE
from rundlet_server.storage.bounds import CONTENT_TYPE_BYTES_MAX

_WORD = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_PARAMETER = rf'{_WORD}=(?:{_WORD}|"(?:[^"\\]|\\.)*")'
_MEDIA_TYPE = re.compile(rf"{_WORD}/{_WORD}(?:[ \t]*;(?:[ \t]*{_PARAMETER})?)*")
_HEADER_SAFE = re.compile(r"[\t\x20-\x7e]+")


def typed_argument(argument: str) -> tuple[bytes, str]:
    """Return the exact bytes of an argument, and its content type: text if it is UTF-8."""
    value = os.fsencode(argument)
    try:
        value.decode()
    except UnicodeDecodeError:
        return value, DEFAULT_CONTENT_TYPE
    return value, TEXT_CONTENT_TYPE


def is_content_type(text: str) -> bool:
    """Return whether a server can send a text as the header ``Content-Type`` of a value."""
    return len(text) <= CONTENT_TYPE_BYTES_MAX and _HEADER_SAFE.fullmatch(text) is not None


def is_media_type(text: str) -> bool:
    """Return whether a text is a media type with parameters (RFC 9110, section 8.3.1).

    Servers accept any content type that they can send, and so does an import.
    """
    return is_content_type(text) and _MEDIA_TYPE.fullmatch(text) is not None


def existing_file(file: Path | None) -> Path | None:
    """Check first that the file of an option exists, and return it; ``-`` is stdin.

    Raises:
        typer.BadParameter: there is no such file.
    """
    if file is not None and str(file) != "-" and not file.exists():
        message = f"there is no file {str(file)!r}"
        raise typer.BadParameter(message)
    return file


def shown_file(file: Path) -> str:
    """Return the name of a file for messages; ``-`` is stdin."""
    return "stdin" if str(file) == "-" else str(file)
