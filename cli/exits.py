"""How a command ends: exit codes, and the exit code and message of each error.

A command raises an error of ``storage.errors``, an error of the client, or ``CommandError`` for an
error of the command line itself. Only ``exit_code_of`` and ``message_of`` map them. They import the
layers below only for an error: otherwise a command that talks to a server would load the engine
even if it succeeds.
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
    """The exit codes, on which scripts may rely."""

    DONE = 0
    NOT_FOUND = 1  # also if a repair lost data
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
    """A command cannot continue.

    Attributes:
        code: the exit code.
    """

    def __init__(self, message: str, code: ExitCode = ExitCode.UNREACHABLE) -> None:
        """Make an error; ``message`` is one line that says what is wrong and what to do."""
        super().__init__(message)
        self.code = code


class Interrupted(KeyboardInterrupt):
    """Ctrl-C ended a command halfway; the message has the completed part, and what to do."""


@contextlib.contextmanager
def interruptible(message: str) -> Iterator[None]:
    """Let Ctrl-C end the block with a message that says how to continue."""
    try:
        yield
    except KeyboardInterrupt as ex:
        raise Interrupted(message) from ex


@contextlib.contextmanager
def naming_full_disk(place: object) -> Iterator[None]:
    """Name a place in the error of a full disk: a command may read from one disk and fill another.

    A write does not know the name of its file.
    """
    try:
        yield
    except OSError as ex:
        if ex.errno in (errno.ENOSPC, errno.EDQUOT) and ex.filename is None:
            ex.filename = str(place)
        raise


_SYSTEM_ADVICE: Final = {
    errno.ENOSPC: "; free some space and try again",
    errno.EDQUOT: "; free some space and try again",
    errno.EROFS: "; the file system is mounted read-only, so only commands that read work there",
    errno.EACCES: "; run this command as the owner",
    errno.EPERM: "; run this command as the owner",
    errno.EMFILE: "; raise ulimit -n",
    errno.EEXIST: "; it is a file, or a link that leads nowhere: name a folder",
}

_REPAIR_ADVICE: Final = "run rundlet verify to see all damage, rundlet repair to keep what is whole"


def exit_code_of(error: Exception) -> ExitCode | None:
    """Return the exit code of an error; ``None`` for an unexpected error."""
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
    """Return the message of an error on one line: what is wrong and what to do."""
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
    """Return the error for requested keys that have no value."""
    message = "no value for " + ", ".join(repr(key) for key in keys)
    return CommandError(message, ExitCode.NOT_FOUND)


# In both tables the first matching entry decides, so a derived class comes before its base.


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
    """Return the message of the operating system without its number, with advice if known."""
    where = "" if error.filename is None else f"{error.filename}: "
    advice = _SYSTEM_ADVICE.get(error.errno or 0, "")
    return f"{where}{error.strerror}{advice}"


def _message_of_client(error: Exception) -> str | None:
    """Return the message of a server, with the words of the command line instead of HTTP."""
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
    """Return the problem in a server's message, without its advice, which is about HTTP."""
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
