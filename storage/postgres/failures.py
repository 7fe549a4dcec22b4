"""Translate errors of the database into those of ``storage.errors``.

An error of a statement says for certain that its transaction was not applied. Only if the
connection is lost, or the server gives up, after COMMIT was sent, the outcome is unknown.
"""

from __future__ import annotations

from typing import Final, NoReturn

import psycopg
from psycopg_pool import PoolClosed, PoolTimeout

from rundlet_server.storage.errors import DiskFull, OutcomeUnknown, Unavailable

RETRIED: Final = frozenset({"40001", "40P01", "55P03"})
"""Another transaction won (serialization, deadlock, lock); the same one may succeed at once."""

MISSING_TABLES: Final = frozenset({"42P01", "3F000"})

RACES: Final = RETRIED | {"23505", "42P06", "42P07", "42710", "XX000"}
"""What two processes that create the same tables at once may get."""

_DISK_FULL: Final = "53100"
_CERTAIN_CLASSES: Final = frozenset({"22", "23", "25", "40", "42", "53", "54", "55"})
_UNKNOWN: Final = frozenset({"40003"})  # the server says itself that it does not know
_TROUBLES: Final = (
    psycopg.OperationalError,
    psycopg.InterfaceError,
    psycopg.InternalError,
    psycopg.NotSupportedError,
    PoolTimeout,
    PoolClosed,
)
_WAIT_FOR_STANDBY: Final = "SyncRepWaitForLSN"
_PERMISSION: Final = "42501"
_LOST: Final = ("57P", "08")


def is_retried(ex: BaseException) -> bool:
    """Return whether the same transaction may succeed if it is done again at once."""
    return sqlstate_of(ex) in RETRIED


def is_lost(ex: BaseException | None) -> bool:
    """Return whether the connection is gone: broken, or ended by the server."""
    if isinstance(ex, PoolTimeout | PoolClosed | None) or not isinstance(
        ex, psycopg.OperationalError
    ):
        return False
    state = sqlstate_of(ex)
    return not state or state.startswith(_LOST)


def translated(ex: BaseException) -> BaseException:
    """Return the error to raise for one whose transaction was certainly not applied.

    An error that can only be a fault of ours is returned as it is.
    """
    sqlstate = sqlstate_of(ex)
    if sqlstate == _DISK_FULL:
        return DiskFull("the disk of the database is full")
    if sqlstate in MISSING_TABLES:
        return Unavailable("the tables of the store are gone from the database")
    if isinstance(ex, _TROUBLES) or sqlstate == _PERMISSION:
        return Unavailable(f"the database refuses or does not answer: {_first_line(ex)}")
    return ex


def after_commit(ex: BaseException) -> BaseException:
    """Return the error to raise for one that came after COMMIT was sent."""
    state = sqlstate_of(ex)
    is_ours = not state and not isinstance(ex, psycopg.OperationalError)  # nothing was sent
    if is_ours or (state[:2] in _CERTAIN_CLASSES and state not in _UNKNOWN):
        return translated(ex)
    return OutcomeUnknown(f"the database was lost during a commit: {_first_line(ex)}")


def raise_for(cause: BaseException, error: BaseException) -> NoReturn:
    """Raise what one of the functions above returned for an error.

    An error that stays as it is keeps its cause, which for ``OutcomeUnknown`` is the error of the
    database; ``raise ... from`` would make it its own cause.
    """
    if error is cause:
        raise cause
    raise error from cause


class Unreplicated:
    """Whether a commit did not wait for the synchronous standby.

    If an operator cancels the wait (``pg_cancel_backend``), the database says COMMIT and warns: the
    commit is on the primary and may be lost with it. The warning is recognised by its function,
    because its text may be in any language.
    """

    def __init__(self) -> None:
        self._warning: str | None = None

    def note(self, notice: psycopg.errors.Diagnostic) -> None:
        """Look at a notice of the connection, which is readable only during this call."""
        if notice.source_function == _WAIT_FOR_STANDBY:
            self._warning = notice.message_primary or ""

    def check(self) -> None:
        """Refuse to acknowledge the commit.

        Raises:
            OutcomeUnknown: the database has warned.
        """
        if self._warning is not None:
            raise OutcomeUnknown(f"the standby may not have the commit: {self._warning}")


def sqlstate_of(ex: BaseException) -> str:
    """Return the SQLSTATE of an error; empty if the server sent none."""
    return str(ex.sqlstate or "") if isinstance(ex, psycopg.Error) else ""


def _first_line(ex: BaseException) -> str:
    return str(ex).strip().partition("\n")[0] or type(ex).__name__
