"""How a command ends: the exit codes, and which error leads to which.

A command raises: an error of ``storage.errors``, an error of the client, or, for what only
the command line knows, ``CommandError``. ``exit_code_of`` is the one place that maps them.
"""

from __future__ import annotations

import enum
import errno
from collections.abc import Sequence
from typing import Final

import rundlet
from rundlet_server.functions.settings import SettingError
from rundlet_server.server.errors import ExposedError, ServeError, TlsError
from rundlet_server.storage import errors


class ExitCode(enum.IntEnum):
    """What the shell sees; part of the contract with scripts."""

    DONE = 0
    NOT_FOUND = 1
    USAGE = 2
    CONFLICT = 3
    UNREACHABLE = 4  # server or network: not there, refused, out of space
    DAMAGED = 5


class CommandError(Exception):
    """A command cannot go on.

    Attributes:
        code: the exit code.
    """

    def __init__(self, message: str, code: ExitCode = ExitCode.UNREACHABLE) -> None:
        """``message`` is one line that says what is wrong and what to do."""
        super().__init__(message)
        self.code = code


# The first entry that fits decides, so a derived class stands before its base.
_CODES: tuple[tuple[type[Exception], ExitCode], ...] = (
    (errors.InvalidRequest, ExitCode.USAGE),
    (errors.Conflict, ExitCode.CONFLICT),
    (errors.Compacted, ExitCode.NOT_FOUND),
    (errors.Damaged, ExitCode.DAMAGED),
    (errors.UnknownFormat, ExitCode.DAMAGED),
    (errors.NotSupported, ExitCode.USAGE),
    (errors.StoreError, ExitCode.UNREACHABLE),
    (rundlet.BadRequest, ExitCode.USAGE),
    (rundlet.PreconditionFailed, ExitCode.CONFLICT),
    (rundlet.Conflict, ExitCode.CONFLICT),
    (rundlet.Compacted, ExitCode.NOT_FOUND),
    (rundlet.Damaged, ExitCode.DAMAGED),
    (rundlet.RundletError, ExitCode.UNREACHABLE),
    (ExposedError, ExitCode.USAGE),
    (TlsError, ExitCode.USAGE),
    (ServeError, ExitCode.UNREACHABLE),
    (SettingError, ExitCode.USAGE),
    (UnicodeError, ExitCode.USAGE),  # an argument that is not UTF-8
    (OSError, ExitCode.UNREACHABLE),
)


_SYSTEM_ADVICE: Final = {
    errno.ENOSPC: "; free some space and try again",
    errno.EDQUOT: "; free some space and try again",
    errno.EROFS: "; it is mounted to be read only",
    errno.EACCES: "; run this as its owner",
    errno.EPERM: "; run this as its owner",
    errno.EMFILE: "; raise ulimit -n",
}


def exit_code_of(error: Exception) -> ExitCode | None:
    """The exit code that an error leads to; ``None`` for one that nobody expected."""
    if isinstance(error, CommandError):
        return error.code
    for kind, code in _CODES:
        if isinstance(error, kind):
            return code
    return None


def message_of(error: Exception) -> str:
    """The line that tells a person of an error: what is wrong and what to do."""
    message = str(error)
    if isinstance(error, errors.Damaged) and not isinstance(error, errors.DamagedTokens):
        return f"{message}; run rundlet verify to see all damage, rundlet repair to keep the rest"
    if isinstance(error, OSError) and error.strerror:
        return _message_of_system(error)
    return message


def _message_of_system(error: OSError) -> str:
    """What the operating system refused, without its number, and with what helps where we know."""
    where = "" if error.filename is None else f"{error.filename}: "
    advice = _SYSTEM_ADVICE.get(error.errno or 0, "")
    return f"{where}{error.strerror}{advice}"


def no_value(keys: Sequence[str]) -> CommandError:
    """The error of a command that was asked for keys that have no value."""
    message = "no value for " + ", ".join(repr(key) for key in keys)
    return CommandError(message, ExitCode.NOT_FOUND)
