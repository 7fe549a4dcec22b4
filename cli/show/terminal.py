"""Standard streams: exact bytes for a pipe, escaped text for a terminal."""

from __future__ import annotations

import errno
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import BinaryIO

_SHORT_CHARACTERS_MAX = 100
_KEPT_IN_VALUES = frozenset("\n\t")


def stdout_is_terminal() -> bool:
    """Return whether a person reads what is printed."""
    return sys.stdout is not None and sys.stdout.isatty()


def stderr_is_terminal() -> bool:
    """Return whether a person reads errors and progress."""
    return sys.stderr is not None and sys.stderr.isatty()


@contextmanager
def open_stdout() -> Iterator[BinaryIO]:
    """Open stdout for bytes; flush it at the end.

    Raises:
        BrokenPipeError: the reader has gone.
        OSError: stdout is closed or cannot be written; the file name in the error is ``stdout``.
    """
    try:
        if sys.stdout is None:
            raise OSError(errno.EBADF, "it is closed; send it to /dev/null instead")
        sys.stdout.flush()
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        raise
    except OSError as ex:
        if ex.filename is not None:
            raise
        raise OSError(ex.errno, ex.strerror, "stdout") from ex


def read_stdin() -> bytes:
    """Return all bytes of stdin; raises ``OSError`` if it is closed."""
    return stdin_bytes().read()


def stdin_bytes() -> BinaryIO:
    """Return stdin as bytes; raises ``OSError`` if it is closed."""
    if sys.stdin is None:
        raise OSError(errno.EBADF, "it is closed; nothing can be read", "stdin")
    return sys.stdin.buffer


def write_bytes(data: bytes) -> None:
    """Write bytes to stdout unchanged."""
    with open_stdout() as stdout:
        stdout.write(data)


def write_line(text: str) -> None:
    """Write one line."""
    write_lines([text])


def write_lines(texts: Iterable[str], *, end: str = "\n") -> None:
    """Write lines as UTF-8, regardless of the locale, and flush: a closed pipe raises here."""
    with open_stdout() as stdout:
        for text in texts:
            stdout.write((text + end).encode())


def write_value(data: bytes) -> None:
    """Write a value: exact bytes to a pipe; on a terminal escaped, with a newline at the end."""
    if not stdout_is_terminal():
        write_bytes(data)
        return
    shown = escaped_value(data)
    write_bytes((shown if shown.endswith("\n") else shown + "\n").encode())


def shown_key(key: str) -> str:
    """Return a key for printing: raw for a pipe, escaped for a terminal."""
    return escaped(key) if stdout_is_terminal() else key


def escaped(text: str) -> str:
    r"""Return the text on one line, with control characters as ``\xNN``."""
    return "".join(c if c.isprintable() else _escape(c) for c in text)


def escaped_value(data: bytes) -> str:
    r"""Return a value for a terminal: as ``escaped``, but with its newlines and tabs."""
    text = data.decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() or c in _KEPT_IN_VALUES else _escape(c) for c in text)


def shortened(data: bytes) -> str:
    """Return the beginning of a value for a terminal, on one line."""
    start = data[: 4 * _SHORT_CHARACTERS_MAX]
    text = escaped(escaped_value(start))
    is_whole = len(text) <= _SHORT_CHARACTERS_MAX and len(start) == len(data)
    return text if is_whole else text[: _SHORT_CHARACTERS_MAX - 1] + "…"


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")
