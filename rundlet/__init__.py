"""Rundlet's Python client.

    from rundlet import Client

    with Client("http://127.0.0.1:8000") as client:
        client.set("greeting", "hello", ttl=60)
        value = client.get("greeting")
        assert value is not None and value.text == "hello"
        assert client.get("nothing") is None

Start reading at ``client.Client``; the errors are one tree in ``errors``.
"""

from rundlet.backups import Backup, BackupFile
from rundlet.client import DEFAULT_URL, Client
from rundlet.errors import (
    BackupGone,
    BadRequest,
    Compacted,
    Conflict,
    ConnectionFailed,
    Damaged,
    FailedCondition,
    Forbidden,
    OutcomeUnknown,
    PreconditionFailed,
    ReadOnly,
    RundletError,
    ServerError,
    TooLarge,
    Unauthorized,
    Unavailable,
)
from rundlet.model import (
    DEFAULT_CONTENT_TYPE,
    TEXT_CONTENT_TYPE,
    Add,
    ChangesPage,
    Commit,
    Condition,
    Delete,
    Event,
    KeyInfo,
    Op,
    OpResult,
    Put,
    Restore,
    Touch,
    Value,
    Written,
)
from rundlet.past import (
    Difference,
    Erased,
    Place,
    Retention,
    RolledBack,
    State,
    Version,
)
from rundlet.transfers import Imported, RowCounter
from rundlet.version import __version__
from rundlet.watching import Watch

__all__ = [
    "DEFAULT_CONTENT_TYPE",
    "DEFAULT_URL",
    "TEXT_CONTENT_TYPE",
    "Add",
    "Backup",
    "BackupFile",
    "BackupGone",
    "BadRequest",
    "ChangesPage",
    "Client",
    "Commit",
    "Compacted",
    "Condition",
    "Conflict",
    "ConnectionFailed",
    "Damaged",
    "Delete",
    "Difference",
    "Erased",
    "Event",
    "FailedCondition",
    "Forbidden",
    "Imported",
    "KeyInfo",
    "Op",
    "OpResult",
    "OutcomeUnknown",
    "Place",
    "PreconditionFailed",
    "Put",
    "ReadOnly",
    "Restore",
    "Retention",
    "RolledBack",
    "RowCounter",
    "RundletError",
    "ServerError",
    "State",
    "TooLarge",
    "Touch",
    "Unauthorized",
    "Unavailable",
    "Value",
    "Version",
    "Watch",
    "Written",
    "__version__",
]
