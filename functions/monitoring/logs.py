"""Log single requests: those that failed, and those that were slow.

Each is one line on stderr, as text for people or as JSON for machines. A line never holds a
value, a key, a secret or a query string. Its members are ``{"time","level","event","request_id",
"method","route","status","duration_ms"}``; a failure adds ``problem`` and ``detail``, and an
unexpected error ``traceback``.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import traceback
import weakref
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TextIO

from rundlet_server.functions.messages.validators import rfc3339
from rundlet_server.functions.problems import Failure, failure_of
from rundlet_server.functions.request_ids import RequestIds
from rundlet_server.functions.settings import LogFormat
from rundlet_server.storage.clock import system_clock_us

LineWriter = Callable[[str], None]


class RequestLog:
    """Writes a line for each request that failed or was slow. Any thread may call it."""

    def __init__(
        self,
        ids: RequestIds,
        write_line: LineWriter,
        *,
        log_format: LogFormat,
        clock: Callable[[], int] = system_clock_us,
    ) -> None:
        self._ids = ids
        self._write_line = write_line
        self._shaped = json.dumps if log_format == "json" else _as_text
        self._clock = clock

    def note(self, environ: dict[str, object], route: str, status: int, elapsed_ns: int) -> None:
        """Write the line of an answered request."""
        failure = failure_of(environ)
        line: dict[str, object] = {
            "time": rfc3339(self._clock()),
            "level": "error" if status >= 500 else "warning",
            "event": "failed" if status >= 500 else "slow",
            "request_id": self._ids.of(environ),
            "method": environ["REQUEST_METHOD"],
            "route": route,
            "status": status,
            "duration_ms": round(elapsed_ns / 1e6, 3),
        }
        if failure is not None:
            line |= _members(failure)
        self._write_line(self._shaped(line))


def line_writer(path: Path | None = None) -> LineWriter:
    """Return a function that appends a line to a file, or writes it to stderr.

    Several processes may share the file. It may be renamed at any time: the next line then
    creates a new one.

    Raises:
        OSError: the file cannot be opened.
    """
    to_stderr = _stream_writer(sys.stderr)
    if path is None:
        return to_stderr
    descriptor = open_log(path)

    def to_file(line: str) -> None:
        text = f"{line}\n".encode()
        _follow(path, descriptor)
        try:
            is_written = os.write(descriptor, text) == len(text)  # one call, so lines never mix
        except OSError:
            is_written = False
        if not is_written:  # if the disk is full, for example, the request must not fail
            to_stderr(line)

    # Do not close it when the process ends, because other threads may still write.
    weakref.finalize(to_file, os.close, descriptor).atexit = False
    return to_file


def open_log(path: Path) -> int:
    """Open a file to append lines to; create it, readable only by its owner, if it is missing.

    Raises:
        OSError: the file cannot be opened.
    """
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)


def _follow(path: Path, descriptor: int) -> None:
    """Make the descriptor refer to the file that has the name now: log rotation renames files."""
    with contextlib.suppress(OSError):  # if that fails, the previous file is better than none
        try:
            if os.path.samestat(os.stat(path), os.fstat(descriptor)):
                return
        except FileNotFoundError:
            pass
        renewed = open_log(path)
        try:
            os.dup2(renewed, descriptor, inheritable=False)  # one step for all threads
        finally:
            os.close(renewed)


def _stream_writer(stream: TextIO) -> LineWriter:
    """Return a function that writes lines, or drops them if the stream's reader is gone.

    A request must not fail because the server cannot write its log.
    """

    def to_stream(line: str) -> None:
        with contextlib.suppress(OSError, ValueError):  # ValueError: the stream is closed
            stream.write(f"{line}\n")
            stream.flush()

    return to_stream


def _members(failure: Failure) -> dict[str, object]:
    """Return what a line says of a failure; for an unexpected one, also where it happened."""
    members: dict[str, object] = {"problem": failure.problem.name}
    if failure.problem.name != "internal":
        return members | {"detail": failure.problem.detail}
    places = traceback.format_tb(failure.cause.__traceback__)
    return members | {"detail": _named(failure.cause), "traceback": "".join(places)}


def _named(cause: Exception) -> str:
    """Name an unexpected error; add its message only if that cannot quote a stored value."""
    name = type(cause).__name__
    return f"{name}: {cause}" if isinstance(cause, OSError) else name


def _as_text(line: Mapping[str, object]) -> str:
    text = (
        f"{line['time']} {line['event']} {line['status']} {line['method']} {line['route']}"
        f" in {line['duration_ms']} ms, request {line['request_id']}"
    )
    if "problem" in line:
        text += f": {line['problem']}: {line['detail']}"
    if "traceback" in line:
        text += f"\n{line['traceback']}".rstrip()
    return text
