"""The arguments and results of the client: small immutable records."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

DEFAULT_URL = "http://127.0.0.1:8000"
DEFAULT_CONTENT_TYPE = "application/octet-stream"
TEXT_CONTENT_TYPE = "text/plain; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Value:
    """A value of a key, as a commit wrote it.

    Attributes:
        key: the requested key.
        data: the exact bytes.
        revision: number of the commit that wrote it.
        version: n-th write of this key since it was last created, from 1.
        content_type: as stored.
        expires: when it expires (UTC); ``None``: never.
        etag: strong and opaque, for ``if_match``; ``None`` in results with many values.
        modified: when it was written, to the second (UTC); ``None`` in results with many values.
        size: of the whole value in bytes, if only a part was requested.
        meta: metadata that was stored with it, texts by name.
    """

    key: str
    data: bytes
    revision: int
    version: int
    content_type: str = DEFAULT_CONTENT_TYPE
    expires: datetime | None = None
    etag: str | None = None
    modified: datetime | None = None
    size: int | None = None
    meta: Mapping[str, str] = field(default_factory=dict, hash=False)

    @property
    def text(self) -> str:
        """The bytes as UTF-8 text; raises ``UnicodeDecodeError`` if they are not UTF-8."""
        return self.data.decode()

    def json(self) -> Any:  # noqa: ANN401 - a program knows what it stored
        """Decode the bytes as JSON; raises ``ValueError`` if they are not JSON."""
        import json  # noqa: PLC0415 - few programs need it

        return json.loads(self.data)

    def __bytes__(self) -> bytes:
        return self.data


@dataclass(frozen=True, slots=True)
class KeyInfo:
    """The details of a key in a list, or from ``head``.

    Attributes:
        size: of the value, in bytes.
        value: ``None`` unless values were requested.
        is_prefix: this is not a key but the prefix of several keys, up to the delimiter; its
            numbers are 0.
        time: when the value was written (UTC).
        expires: when it expires (UTC); ``None``: never.
        meta: of the value; empty unless metadata was requested.
    """

    key: str
    revision: int = 0
    version: int = 0
    size: int = 0
    content_type: str = ""
    value: Value | None = None
    is_prefix: bool = False
    time: datetime | None = None
    expires: datetime | None = None
    etag: str | None = None
    meta: Mapping[str, str] = field(default_factory=dict, hash=False)


@dataclass(frozen=True, slots=True)
class Written:
    """The result of a ``set``; the key is new if ``version`` is 1.

    Attributes:
        etag: for ``if_match``; ``None`` after a write with ``if_revision``.
    """

    revision: int
    version: int
    etag: str | None = None


@dataclass(frozen=True, slots=True)
class Event:
    """One change of one key.

    Attributes:
        key: the key.
        op: ``put``, ``delete``, ``expire``, ``restore`` or ``erase``.
        revision: number of the commit, the same for all events of a commit.
        version: of the key; 0 if it has no value now.
        size: of the value, in bytes.
        content_type: as stored.
        time: of the commit (UTC).
        expires: when the value expires (UTC); ``None``: never.
        is_last: this is the last event of its commit.
        data: the value, if values were requested and there is one.
        is_value_omitted: the value was requested but is too large for a feed: use ``get``.
        meta: of the value.
    """

    key: str
    op: str
    revision: int
    version: int
    size: int
    content_type: str
    time: datetime
    expires: datetime | None = None
    is_last: bool = True
    data: bytes | None = None
    is_value_omitted: bool = False
    meta: Mapping[str, str] = field(default_factory=dict, hash=False)


@dataclass(frozen=True, slots=True)
class ChangesPage:
    """A page of the changes.

    Attributes:
        events: whole commits, oldest first.
        next_since: the ``since`` of the next page.
        oldest_revision: the oldest revision from which changes can be read.
    """

    events: list[Event]
    next_since: int
    oldest_revision: int


# --- transactions --------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Put:
    """Store a value; without ``ttl`` (seconds) it does not expire; ``meta`` are texts by name."""

    key: str
    value: bytes
    content_type: str = DEFAULT_CONTENT_TYPE
    ttl: float | None = None
    meta: Mapping[str, str] = field(default_factory=dict, hash=False)


@dataclass(frozen=True, slots=True)
class Delete:
    """Remove a key; a missing key is not an error."""

    key: str


@dataclass(frozen=True, slots=True)
class Add:
    """Add to a value that is decimal text; a missing key counts as 0. Keeps everything else."""

    key: str
    by: int = 1


@dataclass(frozen=True, slots=True)
class Touch:
    """Give an existing key a new time to live in seconds (``None``: it no longer expires)."""

    key: str
    ttl: float | None = None


@dataclass(frozen=True, slots=True)
class Restore:
    """Write an earlier value of a key again, named by a version or by a revision.

    Attributes:
        version: the n-th write since the key was last created.
        revision: restore the value that the key had at this revision.
        ttl: seconds until the restored value expires; ``None``: never.
    """

    key: str
    version: int | None = None
    revision: int | None = None
    ttl: float | None = None


Op = Put | Delete | Add | Touch | Restore


@dataclass(frozen=True, slots=True)
class Condition:
    """A condition on a key at the moment of the commit; all given fields must hold.

    Attributes:
        revision: the key's revision is this one.
        version: the key is at this version.
        exists: the key has a value, or has none.
    """

    key: str
    revision: int | None = None
    version: int | None = None
    exists: bool | None = None


@dataclass(frozen=True, slots=True)
class OpResult:
    """The result of one operation; fields that do not apply to its kind are ``None``.

    Attributes:
        found: the key had a value before (``Delete``).
        version: the key's version now (``Put``, ``Touch``, ``Restore``, ``Add``).
        number: the new number (``Add``).
    """

    found: bool | None = None
    version: int | None = None
    number: int | None = None


@dataclass(frozen=True, slots=True)
class Commit:
    """The outcome of a transaction.

    Attributes:
        succeeded: true if ``then`` was done, false if ``otherwise`` was.
        revision: of this commit.
        results: one per operation done, in order.
    """

    succeeded: bool
    revision: int
    results: tuple[OpResult, ...]
