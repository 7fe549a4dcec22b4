"""All errors of the client, in one tree.

    RundletError
    ├── BadRequest            the caller must change the request, which changed nothing
    │   └── TooLarge          larger or longer than a setting of the server allows
    ├── Unauthorized          no token, or not a valid one
    ├── Forbidden             the token does not allow this
    │   └── ReadOnly          this server takes no writes
    ├── PreconditionFailed    the key did not meet the condition; has the current revision
    ├── Conflict              conditions of a transaction failed; has the failed ones
    ├── LockLost              a lock was lost before it was released
    ├── Compacted             the requested revision is no longer kept
    ├── BackupGone            the lease of a backup has ended
    ├── Unavailable           not applied; try again later
    ├── OutcomeUnknown        the write may or may not have been applied
    ├── ConnectionFailed      no server reached, or it broke off an answer; safe to repeat
    └── ServerError           an answer that only a faulty server sends
        └── Damaged           data on the server's disk is corrupted

Absence is not an error: a missing key is ``None``.
"""

from __future__ import annotations

from dataclasses import dataclass


class RundletError(Exception):
    """Base of all errors the client raises on purpose.

    Attributes:
        status: HTTP status of the answer, 0 if there was none.
        problem: the problem's name (``read-only`` of ``/problems/read-only``), or empty.
        request_id: the id of the request in the server's log, or empty.
        line: of an import, the row at which it ended, from 1; 0 if there is none.
        imported: of an import, the number of rows that are known to be stored.
    """

    status: int = 0
    problem: str = ""
    request_id: str = ""
    line: int = 0
    imported: int = 0


class BadRequest(RundletError):
    """The request itself is wrong, and changed nothing.

    Of a call that sends several requests, such as ``set_many``, the earlier ones were applied.
    """


class TooLarge(BadRequest):
    """A key, value, transaction or list is larger than the server allows.

    Attributes:
        limit: the limit of the server; ``None`` if the answer does not have it.
        got: the size or number that was sent; ``None`` if the answer does not have it.
    """

    def __init__(self, message: str, *, limit: int | None = None, got: int | None = None) -> None:
        super().__init__(message)
        self.limit = limit
        self.got = got


class Unauthorized(RundletError):
    """The server requires a token, or refuses this one.

    Attributes:
        is_token_refused: a token was sent, and it is unknown, expired or revoked.
    """

    def __init__(self, message: str, *, is_token_refused: bool = False) -> None:
        super().__init__(message)
        self.is_token_refused = is_token_refused


class Forbidden(RundletError):
    """The token does not allow this."""


class ReadOnly(Forbidden):
    """This server takes no writes."""


class PreconditionFailed(RundletError):
    """The key did not meet the condition of the write; nothing was changed.

    Attributes:
        revision: the key's revision now; 0 if it has no value.
    """

    def __init__(self, message: str, *, revision: int = 0) -> None:
        super().__init__(message)
        self.revision = revision


@dataclass(frozen=True, slots=True)
class FailedCondition:
    """A condition that did not hold: its index, key, and the key's revision (0: no value)."""

    index: int
    key: str
    revision: int


class Conflict(RundletError):
    """Conditions of a transaction failed and it has no ``otherwise``; nothing was changed.

    Attributes:
        failed: every condition that did not hold, in order.
    """

    def __init__(self, message: str, *, failed: tuple[FailedCondition, ...] = ()) -> None:
        super().__init__(message)
        self.failed = failed


class LockLost(RundletError):
    """A lock was lost before it was released: it expired, or its key was written."""


class Compacted(RundletError):
    """The requested revision is older than the kept history.

    Attributes:
        oldest_revision: the oldest revision that can still be read; 0 if not known.
    """

    def __init__(self, message: str, *, oldest_revision: int = 0) -> None:
        super().__init__(message)
        self.oldest_revision = oldest_revision


class BackupGone(RundletError):
    """The backup does not exist: its lease has ended, or it never existed."""


class Unavailable(RundletError):
    """The request was not applied; the same request may succeed later.

    Attributes:
        retry_after_s: how long the server asks to wait; ``None`` if the answer does not have it.
    """

    def __init__(self, message: str, *, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class OutcomeUnknown(RundletError):
    """The write may or may not have been applied; read before trying again."""


class ConnectionFailed(RundletError):
    """No server was reached, or it broke off the answer to a request that is safe to repeat.

    Most requests that are safe to repeat are reads. ``set_many``, ``import_`` with ``replace`` and
    ``erase`` may have been applied, in part or as a whole. Of any other call that sends several
    requests, the earlier ones were applied. In all other cases, nothing was changed.
    """


class ServerError(RundletError):
    """An answer that only a faulty server, or a server other than Rundlet, sends.

    After a write, the outcome is unknown.
    """


class Damaged(ServerError):
    """Data on the server's disk is corrupted; the server sent none of it."""
