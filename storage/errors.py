"""Every error a store raises, one tree.

    StoreError
    ├── InvalidRequest            the caller must change the request; nothing was changed
    │   ├── InvalidAddress        not the address of a store
    │   │   └── MissingBackend    ... whose backend needs an extra that is not installed
    │   ├── InvalidKey            not a legal key
    │   ├── InvalidOperation      an operation of a transaction cannot be done; names its index
    │   ├── IdempotencyKeyReused  the key came with another request, whose outcome is remembered
    │   └── LimitExceeded         larger or longer than a setting allows; names limit and got
    ├── Conflict                  a condition did not hold; names which
    ├── WrongCount                there are more or fewer keys than a deletion expects
    ├── Compacted                 the requested revision is no longer kept
    ├── BackupGone                the lease of a backup has ended
    ├── NotInBackup               no backup holds the requested revision or time
    ├── NotSupported              this backend lacks the feature; names both
    ├── ReadOnly                  this store takes no writes
    ├── Unavailable               certainly not applied; try again later
    │   ├── DiskFull              ... because no space is left
    │   └── BackupNotReady        ... because the store is read for its first backup; ask again
    ├── OutcomeUnknown            may or may not have been applied
    ├── Damaged                   bytes on disk are not what was written; names file and offset
    │   └── DamagedTokens         ... in the tokens: the store is whole, a repair does not help
    ├── UnknownFormat             a file of another format version, or not a file of ours
    └── OpenedBeforeFork          the parent process opened this store; this one must open its own

Absence is not an error: a missing key is ``None``.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final


class StoreError(Exception):
    """Base of all errors a store raises on purpose."""


class InvalidRequest(StoreError):
    """The request itself is wrong; nothing was changed."""


class InvalidAddress(InvalidRequest):
    """The text is not the address of a store."""


class MissingBackend(InvalidAddress):
    """The address is well formed, and an extra that its backend needs is not installed."""


class InvalidKey(InvalidRequest):
    """The key is empty or not encodable as UTF-8."""


class InvalidOperation(InvalidRequest):
    """An operation of a transaction cannot be done.

    Attributes:
        index: position of the operation in its list, from 0.
        reason: what is wrong with it, one clause.
    """

    def __init__(self, index: int, reason: str) -> None:
        super().__init__(f"operation {index}: {reason}")
        self.index = index
        self.reason = reason


class IdempotencyKeyReused(InvalidRequest):
    """The idempotency key was used for another request; nothing was changed."""

    def __init__(self) -> None:
        super().__init__("the idempotency key was used for another request")


class LimitExceeded(InvalidRequest):
    """Something is larger than a setting allows.

    Attributes:
        what: the limited thing, a field name of ``Limits`` (``key_bytes_max`` ...).
        limit: the most that is allowed.
        got: the size or count in the request.
    """

    def __init__(self, what: str, limit: int, got: int) -> None:
        super().__init__(f"{what} is {limit}, got {got}")
        self.what = what
        self.limit = limit
        self.got = got


@dataclass(frozen=True, slots=True)
class FailedCondition:
    """A condition that did not hold: its index, key, and the key's revision (0: no such key)."""

    index: int
    key: str
    revision: int


class Conflict(StoreError):
    """Conditions of a transaction did not hold and it has no ``otherwise``.

    Attributes:
        failed: every condition that did not hold, in order.
    """

    def __init__(self, failed: tuple[FailedCondition, ...]) -> None:
        super().__init__("conditions failed: " + ", ".join(repr(f.key) for f in failed))
        self.failed = failed


class WrongCount(StoreError):
    """There are more or fewer keys than a deletion expects; nothing was changed.

    Attributes:
        expected: how many there should be.
        count: how many there are.
    """

    def __init__(self, expected: int, count: int) -> None:
        super().__init__(f"there are {count} keys, not {expected}")
        self.expected = expected
        self.count = count


class Compacted(StoreError):
    """The requested revision is older than the history that is kept, or a restore left it out.

    Attributes:
        oldest_revision: the oldest revision that can still be read.
        oldest_time_us: the time of its commit; everything can be read since then. 0 if not known.
    """

    def __init__(
        self, oldest_revision: int, oldest_time_us: int = 0, *, restored_at: int | None = None
    ) -> None:
        message = f"compacted away; the oldest revision kept is {oldest_revision}"
        if restored_at is not None:
            message = (
                f"the store was restored as it was at revision {restored_at} and has nothing of"
                " what came after that; read anew what you have seen"
            )
        super().__init__(message)
        self.oldest_revision = oldest_revision
        self.oldest_time_us = oldest_time_us


class BackupGone(StoreError):
    """There is no backup with this id: its lease has ended, or there never was one."""

    def __init__(self) -> None:
        super().__init__("the backup is gone: its lease has ended, or there never was one")


class NotInBackup(StoreError):
    """No backup holds the requested revision or time; the message says what they hold."""


_INSTEAD: Final = {
    ("etcd", "backup"): "etcdctl snapshot save FILE makes one of the whole cluster",
    ("postgresql", "backup"): "pg_dump --schema SCHEMA makes one, pgBackRest one of all databases",
}
"""What to use in place of a feature, by backend."""


class NotSupported(StoreError):
    """This backend cannot do what was requested, in any form.

    Attributes:
        backend: its name, ``StoreInfo.backend``.
        feature: what it lacks, a member of ``storage.interface.Feature``.
    """

    def __init__(self, backend: str, feature: str) -> None:
        words = feature.replace("_", " ")
        instead = _INSTEAD.get((backend, feature))
        rest = f"; {instead} (docs/backup.md)" if instead else ""
        super().__init__(f"the backend {backend!r} of this store has no {words}{rest}")
        self.backend = backend
        self.feature = feature


class ReadOnly(StoreError):
    """This store takes no writes."""


class Unavailable(StoreError):
    """Certainly not applied; the same request may succeed later."""


class DiskFull(Unavailable):
    """Certainly not applied, because no space is left on the device."""


class BackupNotReady(Unavailable):
    """The files of the store are still being hashed; each request continues the work."""


class OutcomeUnknown(StoreError):
    """The write may or may not have been applied; read before trying again."""


class Damaged(StoreError):
    """Bytes on disk are not what was written.

    Attributes:
        path: the damaged file.
        offset: position of the damage in the file, in bytes.
        reason: what is wrong, one clause.
    """

    def __init__(self, path: Path | str, offset: int, reason: str) -> None:
        super().__init__(f"{path}: damaged at offset {offset}: {reason}")
        self.path = Path(path)
        self.offset = offset
        self.reason = reason


class DamagedTokens(Damaged):
    """The tokens cannot be read, so no request can be authenticated; the store itself is whole."""


class UnknownFormat(StoreError):
    """A file with another magic, or with a format version that this release does not know."""


class OpenedBeforeFork(StoreError):
    """The parent process opened the store before it forked; nothing was read or changed."""

    def __init__(self) -> None:
        super().__init__(
            "this store was opened before the process was forked, so it belongs to the parent; "
            "open the store again in this process"
        )
