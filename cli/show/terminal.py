"""Output: exact bytes into a pipe, harmless text onto a terminal."""

from __future__ import annotations

import sys
from collections.abc import Iterable

_KEPT_IN_VALUES = frozenset("\n\t")


def stdout_is_terminal() -> bool:
    """Whether a person reads what is printed."""
    return sys.stdout.isatty()


def write_bytes(data: bytes) -> None:
    """Write to stdout as it is."""
    sys.stdout.flush()
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()


def write_line(text: str) -> None:
    """Write one line."""
    write_lines([text])


def write_lines(texts: Iterable[str], *, end: str = "\n") -> None:
    """Write lines as UTF-8, whatever the locale says; a closed pipe shows here at the latest."""
    sys.stdout.flush()
    for text in texts:
        sys.stdout.buffer.write((text + end).encode())
    sys.stdout.buffer.flush()


def write_value(data: bytes) -> None:
    """Write a value: exact bytes into a pipe, escaped and ended by a newline on a terminal."""
    if not stdout_is_terminal():
        write_bytes(data)
        return
    shown = escaped_value(data)
    write_bytes((shown if shown.endswith("\n") else shown + "\n").encode())


def shown_key(key: str) -> str:
    """A key as it is printed: raw into a pipe, escaped on a terminal."""
    return escaped(key) if stdout_is_terminal() else key


def escaped(text: str) -> str:
    r"""The text on one line, with all that could drive a terminal written as ``\xNN``."""
    return "".join(c if c.isprintable() else _escape(c) for c in text)


def escaped_value(data: bytes) -> str:
    r"""A value for a terminal: as ``escaped``, but lines and tabs stay, bad UTF-8 is ``\xNN``."""
    text = data.decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() or c in _KEPT_IN_VALUES else _escape(c) for c in text)


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")
