"""How a command ends: the exit codes, which error leads to which, and what is printed of it.

A command raises an error of ``storage.errors``, an error of the client, or ``CommandError`` for
what only the command line knows. ``exit_code_of`` and ``message_of`` are the one place that maps
them. The layers below are imported once an error needs them: a command that talks to a server
would otherwise load the engine's words only to end well.
"""

from __future__ import annotations

import contextlib
import enum
import errno
import json
import sys
from collections.abc import Iterator, Sequence
from typing import Final


class ExitCode(enum.IntEnum):
    """What the shell sees; part of the contract with scripts."""

    DONE = 0
    NOT_FOUND = 1  # also: what a repair could not find any more
    USAGE = 2
    CONFLICT = 3
    UNREACHABLE = 4  # server, network or system: not there, refused, out of space
    DAMAGED = 5
    NOT_ALLOWED = 6


MEANINGS: Final = {
    ExitCode.DONE: "done",
    ExitCode.NOT_FOUND: "not found or no longer kept",
    ExitCode.USAGE: "usage",
    ExitCode.CONFLICT: "precondition failed",
    ExitCode.UNREACHABLE: "server or network",
    ExitCode.DAMAGED: "damaged data",
    ExitCode.NOT_ALLOWED: "not allowed",
}
"""The exit codes in words, for the help and the documents."""


class CommandError(Exception):
    """A command cannot go on.

    Attributes:
        code: the exit code.
    """

    def __init__(self, message: str, code: ExitCode = ExitCode.UNREACHABLE) -> None:
        """``message`` is one line that says what is wrong and what to do."""
        super().__init__(message)
        self.code = code


class Interrupted(KeyboardInterrupt):
    """Ctrl-C ended a command that had done a part; the message says which, and how to go on."""


@contextlib.contextmanager
def interruptible(message: str) -> Iterator[None]:
    """Let Ctrl-C end the block with a message that says how to go on."""
    try:
        yield
    except KeyboardInterrupt as ex:
        raise Interrupted(message) from ex


_SYSTEM_ADVICE: Final = {
    errno.ENOSPC: "; free some space and try again",
    errno.EDQUOT: "; free some space and try again",
    errno.EROFS: "; the file system is mounted read-only, so only commands that read work there",
    errno.EACCES: "; run this command as the owner",
    errno.EPERM: "; run this command as the owner",
    errno.EMFILE: "; raise ulimit -n",
}

_REPAIR_ADVICE: Final = "run rundlet verify to see all damage, rundlet repair to keep what is whole"


def exit_code_of(error: Exception) -> ExitCode | None:
    """Return the exit code that an error leads to; ``None`` for an error that is not expected."""
    if isinstance(error, CommandError):
        return error.code
    for kinds in (_client_kinds, _server_kinds):
        for kind, code in kinds():
            if isinstance(error, kind):
                return code
    return None


def is_conflict(error: Exception) -> bool:
    """Return whether a condition of a write failed, on a server or in a store opened here."""
    return not isinstance(error, CommandError) and exit_code_of(error) is ExitCode.CONFLICT


def failed_conditions(error: Exception) -> list[tuple[str, int]]:
    """Return the keys whose conditions failed, each with its revision, 0 if it has no value."""
    import rundlet  # noqa: PLC0415 - see above
    from rundlet_server.storage import errors  # noqa: PLC0415 - see above

    if isinstance(error, rundlet.Conflict):
        return [(each.key, each.revision) for each in error.failed]
    if isinstance(error, errors.Conflict):
        return [(each.key, each.revision) for each in error.failed]
    return []


def message_of(error: Exception) -> str:
    """Return the line that a person reads of an error: what is wrong and what to do."""
    if isinstance(error, CommandError):
        return str(error)
    if isinstance(error, OSError) and error.strerror:
        return _message_of_system(error)
    return _message_of_client(error) or _message_of_store(error)


def print_error(message: str, code: int, *, as_json: bool = False) -> None:
    """Print an error on stderr, as one line of plain text or of JSON."""
    if as_json:
        line = json.dumps({"error": message, "exit_code": int(code)})
    else:
        line = "rundlet: " + "".join(c if c.isprintable() else " " for c in message)
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


def no_value(keys: Sequence[str]) -> CommandError:
    """Return the error of a command that was asked for keys that have no value."""
    message = "no value for " + ", ".join(repr(key) for key in keys)
    return CommandError(message, ExitCode.NOT_FOUND)


# In both tables the first entry that fits decides, so a derived class stands before its base.


def _client_kinds() -> tuple[tuple[type[Exception], ExitCode], ...]:
    import rundlet  # noqa: PLC0415 - see above

    return (
        (rundlet.BadRequest, ExitCode.USAGE),
        (rundlet.Unauthorized, ExitCode.NOT_ALLOWED),
        (rundlet.Forbidden, ExitCode.NOT_ALLOWED),
        (rundlet.PreconditionFailed, ExitCode.CONFLICT),
        (rundlet.Conflict, ExitCode.CONFLICT),
        (rundlet.Compacted, ExitCode.NOT_FOUND),
        (rundlet.Damaged, ExitCode.DAMAGED),
        (rundlet.RundletError, ExitCode.UNREACHABLE),
    )


def _server_kinds() -> tuple[tuple[type[Exception], ExitCode], ...]:
    from rundlet_server.functions.settings import SettingError  # noqa: PLC0415 - see above
    from rundlet_server.server.errors import (  # noqa: PLC0415 - see above
        ExposedError,
        ServeError,
        TlsError,
    )
    from rundlet_server.storage import errors  # noqa: PLC0415 - see above

    return (
        (errors.InvalidRequest, ExitCode.USAGE),
        (errors.Conflict, ExitCode.CONFLICT),
        (errors.WrongCount, ExitCode.CONFLICT),
        (errors.Compacted, ExitCode.NOT_FOUND),
        (errors.NotInBackup, ExitCode.NOT_FOUND),
        (errors.Damaged, ExitCode.DAMAGED),
        (errors.UnknownFormat, ExitCode.DAMAGED),
        (errors.NotSupported, ExitCode.USAGE),
        (errors.ReadOnly, ExitCode.NOT_ALLOWED),
        (errors.StoreError, ExitCode.UNREACHABLE),
        (ExposedError, ExitCode.USAGE),
        (TlsError, ExitCode.USAGE),
        (ServeError, ExitCode.UNREACHABLE),
        (SettingError, ExitCode.USAGE),
        (UnicodeError, ExitCode.USAGE),  # an argument that is not UTF-8
        (OSError, ExitCode.UNREACHABLE),
    )


def _message_of_system(error: OSError) -> str:
    """Return what the operating system refused, without its number, and what helps if known."""
    where = "" if error.filename is None else f"{error.filename}: "
    advice = _SYSTEM_ADVICE.get(error.errno or 0, "")
    return f"{where}{error.strerror}{advice}"


def _message_of_client(error: Exception) -> str | None:
    """What a server answered, in the words of the command line instead of those of HTTP."""
    import rundlet  # noqa: PLC0415 - see above

    message = str(error)
    match error:
        case rundlet.Unauthorized():
            return _message_of_unauthorized(is_token_refused=error.is_token_refused)
        case rundlet.PreconditionFailed():
            return f"the condition does not hold: {_state_of(error.revision)}; nothing was changed"
        case rundlet.Forbidden(problem="forbidden"):
            return f"{_problem_of(message)}; give another token with --token or RUNDLET_TOKEN"
        case rundlet.RundletError():
            return message
    return None


def _problem_of(detail: str) -> str:
    """Return what a server says is wrong, without its advice, which is in the words of HTTP."""
    problem, _, advice = detail.rpartition("; ")
    return problem if advice.startswith("send ") else detail


def _message_of_unauthorized(*, is_token_refused: bool) -> str:
    if is_token_refused:
        problem = (
            "the server refuses this token, which is unknown, expired or revoked; give another"
        )
    else:
        problem = "the server asks for a token; give one"
    return f"{problem} with --token or RUNDLET_TOKEN"


def _state_of(revision: int) -> str:
    return f"the key is at revision {revision}" if revision else "the key has no value"


def _message_of_store(error: Exception) -> str:
    from rundlet_server.storage import errors  # noqa: PLC0415 - see above

    message = str(error)
    if isinstance(error, errors.Damaged) and not isinstance(error, errors.DamagedTokens):
        return f"{message}; {_REPAIR_ADVICE}"
    return message
