"""Log single requests: those that failed, and those that were slow.

Each is one line on stderr, as text for people or as JSON for machines. A line never holds a
value, a key, a secret or a query string. Its members are ``{"time","level","event","request_id",
"method","route","status","duration_ms"}``; a failure adds ``problem`` and ``detail``, and an
unexpected error ``traceback``.

If a client or a lasting fault causes the same line many times, the log writes a few of them and
counts the rest (``storage.notices.repeats``). A line with the event ``repeated`` describes the last
counted request, and ``count`` is the number of them in ``seconds``. A line with the event ``ended``
means that there were no more.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import traceback
import weakref
from collections.abc import Callable, Hashable, Mapping
from pathlib import Path
from typing import Final

from rundlet_server.functions.problems import Failure, failure_of
from rundlet_server.functions.request_ids import RequestIds
from rundlet_server.functions.settings import LogFormat
from rundlet_server.functions.units import rfc3339
from rundlet_server.storage.clock import system_clock_us
from rundlet_server.storage.notices.repeats import EVERY_S, CallLater, Repeats, call_later

LineWriter = Callable[[str], None]
"""Writes one line, or several with line ends between them."""
_Line = dict[str, object]

_UNEXPECTED: Final = "internal"
"""The problem of an error that is a fault of the server."""


class RequestLog:
    """Writes a line for each request that failed or was slow. Any thread may call it."""

    def __init__(
        self,
        ids: RequestIds,
        write_line: LineWriter,
        *,
        log_format: LogFormat,
        is_complete: bool = False,
        clock: Callable[[], int] = system_clock_us,
        later: CallLater = call_later,
    ) -> None:
        """Make it; if ``is_complete``, each request has its line, however many are alike."""
        self._ids = ids
        self._write_line = write_line
        self._shaped = json.dumps if log_format == "json" else _as_text
        self._clock = clock
        self._repeats: Repeats[_Line] = Repeats(self._summarize, later)
        self._is_complete = is_complete

    def note(self, environ: dict[str, object], route: str, status: int, elapsed_ns: int) -> None:
        """Write the line of an answered request, or count it."""
        failure = failure_of(environ)
        line: _Line = {
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
        if self._is_complete or self._repeats.passes(_kind(line, failure), line):
            self._write_line(self._shaped(line | _traceback(failure)))

    def _summarize(self, last: _Line, count: int) -> None:
        changed = {"event": "repeated", "count": count} if count else {"event": "ended"}
        now = {"time": rfc3339(self._clock()), "seconds": round(EVERY_S)}
        self._write_line(self._shaped(last | changed | now))


class LineFile:
    """Appends the lines that it is called with to a file. Any thread may call it.

    Several processes may share the file. If log rotation renames it, the next line creates a new
    file. A line that cannot be written to it goes to stderr, because a request must not fail.
    """

    def __init__(self, path: Path, on_failure: Callable[[int], object] = bool) -> None:
        """Open the file.

        Args:
            path: of the file.
            on_failure: called with the number of lines that go to stderr instead.

        Raises:
            OSError: the file cannot be opened.
        """
        self._path = path
        self._on_failure = on_failure
        self._to_stderr = stderr_writer()
        self._descriptor = open_log(path)
        self._failure: str | None = None
        # Do not close it when the process ends, because other threads may still write.
        weakref.finalize(self, os.close, self._descriptor).atexit = False

    def __call__(self, lines: str) -> None:
        """Write lines."""
        text = f"{lines}\n".encode()
        try:
            _follow(self._path, self._descriptor)
            size = os.write(self._descriptor, text)  # one call, so lines never mix
            failure = None if size == len(text) else "the disk is full"
        except OSError as ex:
            failure = ex.strerror or str(ex)
        if failure is not None:
            self._on_failure(text.count(b"\n"))
            if self._failure is None:
                self._to_stderr(f"{self._sentence(failure)}; its lines follow here")
            self._to_stderr(lines)
        self._failure = failure

    def problem(self) -> str | None:
        """Return what is wrong with the file, one sentence; ``None`` if lines reach it."""
        failure = self._failure
        if failure is None:
            try:
                _follow(self._path, self._descriptor)
                return None
            except OSError as ex:
                failure = ex.strerror or str(ex)
        return self._sentence(failure)

    def _sentence(self, failure: str) -> str:
        return f"{self._path} cannot be written: {failure}"


def open_log(path: Path) -> int:
    """Open a file to append lines to; create it, readable only by its owner, if it is missing.

    Raises:
        OSError: the file cannot be opened.
    """
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)


def _follow(path: Path, descriptor: int) -> None:
    """Make the descriptor refer to the file that has the name now: log rotation renames files.

    If no file can be opened under the name, the descriptor keeps the renamed file.

    Raises:
        OSError: no file can be opened under the name, and the old file was removed.
    """
    status = os.fstat(descriptor)
    try:
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.stat(path), status):
                return
        renewed = open_log(path)
    except OSError:
        if status.st_nlink:
            return
        raise
    try:
        os.dup2(renewed, descriptor, inheritable=False)  # one step for all threads
    finally:
        os.close(renewed)


def stderr_writer() -> LineWriter:
    """Return a function that writes lines to stderr, or drops them if its reader is gone.

    A request must not fail because the server cannot write its log.
    """
    stream = sys.stderr

    def to_stream(line: str) -> None:
        with contextlib.suppress(OSError, ValueError):  # ValueError: the stream is closed
            stream.write(f"{line}\n")
            stream.flush()

    return to_stream


def _members(failure: Failure) -> dict[str, object]:
    """Return the members of a failure."""
    is_expected = failure.problem.name != _UNEXPECTED
    detail = failure.problem.detail if is_expected else _named(failure.cause)
    return {"problem": failure.problem.name, "detail": detail}


def _traceback(failure: Failure | None) -> dict[str, object]:
    """Return the traceback of an unexpected error as a member; others have none."""
    if failure is None or failure.problem.name != _UNEXPECTED:
        return {}
    return {"traceback": "".join(traceback.format_tb(failure.cause.__traceback__))}


def _kind(line: _Line, failure: Failure | None) -> Hashable:
    """Return the kind of a line; lines of one kind are counted together."""
    if failure is None:
        return line["event"], line["route"]
    return failure.problem.name, type(failure.cause), _place(failure)


def _place(failure: Failure) -> tuple[str, int] | None:
    """Return the file and line where an unexpected error happened."""
    found = failure.cause.__traceback__
    if found is None or failure.problem.name != _UNEXPECTED:
        return None
    while found.tb_next is not None:
        found = found.tb_next
    return found.tb_frame.f_code.co_filename, found.tb_lineno


def _named(cause: Exception) -> str:
    """Name an unexpected error; add its message only if that cannot quote a stored value."""
    name = type(cause).__name__
    return f"{name}: {cause}" if isinstance(cause, OSError) else name


def _as_text(line: Mapping[str, object]) -> str:
    text = (
        f"{line['time']} {_happened(line)} {line['status']} {line['method']} {line['route']}"
        f" in {line['duration_ms']} ms, request {line['request_id']}"
    )
    if "problem" in line:
        text += f": {line['problem']}: {line['detail']}"
    if "traceback" in line:
        text += f"\n{line['traceback']}".rstrip()
    return text


def _happened(line: Mapping[str, object]) -> str:
    match line["event"]:
        case "repeated":
            return f"{line['count']} more in {line['seconds']} s, the last one:"
        case "ended":
            return f"no more in {line['seconds']} s, the last one was:"
        case event:
            return str(event)
