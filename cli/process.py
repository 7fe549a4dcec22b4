"""The process of a command: its standard streams, and how it ends when one of them fails."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Final, NoReturn

from rundlet_server.cli.exits import ExitCode, message_of, print_error

INTERRUPTED: Final = 130
"""The exit code of a program that Ctrl-C ended, as in shells."""
READER_GONE: Final = 141
"""The exit code of a program that SIGPIPE ended, as in shells: ``cat`` in ``cat F | head -1``."""


def run(command: Callable[[], object]) -> NoReturn:
    """Run the command line and end the process with its exit code."""
    _occupy_closed_descriptors()
    _leave_out_httpx_command_line()
    code: object = ExitCode.DONE
    try:
        command()
    except KeyboardInterrupt:
        code = INTERRUPTED  # during the imports; later the command line ends by itself
    except SystemExit as ex:
        # Rich ends a process with 1 when the reader of a help text has gone.
        code = READER_GONE if isinstance(ex.__context__, BrokenPipeError) else ex.code
    sys.exit(_flushed(int(code) if isinstance(code, int) else ExitCode.DONE))


def abandon_stdout() -> None:
    """Discard the remaining output, because its reader is gone or its disk is full.

    Otherwise Python tries to write it again at its end, and prints a second error.
    """
    discard = os.open(os.devnull, os.O_WRONLY)
    os.dup2(discard, sys.stdout.fileno())
    os.close(discard)


def _occupy_closed_descriptors() -> None:
    """Open /dev/null for each standard stream that the caller has closed.

    Otherwise the next opened file, such as a segment of the log, would get the descriptor of
    stdout or stderr, and a library that writes there would write into the file.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            opened = os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free
            os.set_inheritable(opened, True)  # the processes of a server, too
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115 - for the life of the process


def _leave_out_httpx_command_line() -> None:
    """Keep httpx from importing its own command line, as it does if rich is installed.

    With rich and pygments, that module takes as long to load as all of typer. httpx treats the
    failed import as if rich were not installed.
    """
    sys.modules.setdefault("httpx._main", None)  # type: ignore[arg-type] # None: cannot be imported


def _flushed(code: int) -> int:
    """Flush stdout, and return the exit code."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except BrokenPipeError:
        abandon_stdout()
        return code or READER_GONE
    except OSError as ex:
        abandon_stdout()
        if code == ExitCode.DONE:  # else the error was reported already
            print_error(f"stdout: {message_of(ex)}", ExitCode.UNREACHABLE)
            return ExitCode.UNREACHABLE
    return code
