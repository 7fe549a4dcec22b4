"""Ask for confirmation before an irreversible action."""

from __future__ import annotations

import sys

from rundlet_server.cli.exits import CommandError, ExitCode


def confirmed(question: str) -> bool:
    """Ask on stderr, and return whether the answer is yes; any other answer means no.

    Raises:
        CommandError: stdin is not a terminal, so there can be no answer.
    """
    if sys.stdin is None or not sys.stdin.isatty():
        message = "this asks back, and stdin is no terminal; add --yes if it is meant"
        raise CommandError(message, ExitCode.USAGE)
    sys.stderr.write(f"{question} [y/N] ")
    sys.stderr.flush()
    try:
        answer = sys.stdin.readline()
    except KeyboardInterrupt:
        sys.stderr.write("\n")
        raise
    if not answer:
        sys.stderr.write("\n")  # after Ctrl-D
    return answer.strip().lower() in ("y", "yes")
