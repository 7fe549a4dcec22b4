"""Rundlet's Python client.

    from rundlet import Client

    with Client("http://127.0.0.1:8000") as client:
        client.set("greeting", "hello", ttl=60)
        value = client.get("greeting")
        assert value is not None and value.text == "hello"
        assert client.get("nothing") is None

``AsyncClient`` has the same methods for ``async`` and ``await``. Start reading at
``client.Client``; the errors are one tree in ``errors``.
"""

from __future__ import annotations

from importlib import import_module

from rundlet.version import __version__

TYPE_CHECKING = False
"""As ``typing.TYPE_CHECKING``; importing typing takes longer than the rest of this module."""

if TYPE_CHECKING:
    from typing import Final

    from rundlet.async_client import AsyncClient
    from rundlet.async_locks import AsyncLock
    from rundlet.async_watching import AsyncWatch
    from rundlet.calls.backups import Backup, BackupFile
    from rundlet.calls.transfers import Imported, RowCounter
    from rundlet.client import Client
    from rundlet.errors import (
        BackupGone,
        BadRequest,
        Compacted,
        Conflict,
        ConnectionFailed,
        Damaged,
        FailedCondition,
        Forbidden,
        LockLost,
        OutcomeUnknown,
        PreconditionFailed,
        ReadOnly,
        RundletError,
        ServerError,
        TooLarge,
        Unauthorized,
        Unavailable,
    )
    from rundlet.locks import Lock
    from rundlet.mappings.codecs import Codec
    from rundlet.mappings.mapping import StoreMapping
    from rundlet.model import (
        DEFAULT_CONTENT_TYPE,
        DEFAULT_URL,
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
    from rundlet.past import Difference, Erased, Place, Retention, RolledBack, State, Version
    from rundlet.watching import Watch

__all__ = [
    "DEFAULT_CONTENT_TYPE",
    "DEFAULT_URL",
    "TEXT_CONTENT_TYPE",
    "Add",
    "AsyncClient",
    "AsyncLock",
    "AsyncWatch",
    "Backup",
    "BackupFile",
    "BackupGone",
    "BadRequest",
    "ChangesPage",
    "Client",
    "Codec",
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
    "Lock",
    "LockLost",
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
    "StoreMapping",
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

_MODULES: Final = {
    "rundlet.async_client": ("AsyncClient",),
    "rundlet.async_locks": ("AsyncLock",),
    "rundlet.async_watching": ("AsyncWatch",),
    "rundlet.calls.backups": (
        "Backup",
        "BackupFile",
    ),
    "rundlet.calls.transfers": (
        "Imported",
        "RowCounter",
    ),
    "rundlet.client": ("Client",),
    "rundlet.mappings.codecs": ("Codec",),
    "rundlet.errors": (
        "BackupGone",
        "BadRequest",
        "Compacted",
        "Conflict",
        "ConnectionFailed",
        "Damaged",
        "FailedCondition",
        "Forbidden",
        "LockLost",
        "OutcomeUnknown",
        "PreconditionFailed",
        "ReadOnly",
        "RundletError",
        "ServerError",
        "TooLarge",
        "Unauthorized",
        "Unavailable",
    ),
    "rundlet.locks": ("Lock",),
    "rundlet.mappings.mapping": ("StoreMapping",),
    "rundlet.model": (
        "Add",
        "ChangesPage",
        "Commit",
        "Condition",
        "DEFAULT_CONTENT_TYPE",
        "DEFAULT_URL",
        "Delete",
        "Event",
        "KeyInfo",
        "Op",
        "OpResult",
        "Put",
        "Restore",
        "TEXT_CONTENT_TYPE",
        "Touch",
        "Value",
        "Written",
    ),
    "rundlet.past": (
        "Difference",
        "Erased",
        "Place",
        "Retention",
        "RolledBack",
        "State",
        "Version",
    ),
    "rundlet.watching": ("Watch",),
}
"""The names of each module. A module is imported when one of its names is first used: a program
that uses only records does not import httpx, and a program that uses ``Client`` does not import
asyncio."""

_MODULE_OF: Final = {name: module for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> object:
    if name not in _MODULE_OF:
        message = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(message)
    found: object = getattr(import_module(_MODULE_OF[name]), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
