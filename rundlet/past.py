"""The records of the past: versions of a key, differences, what was restored or erased."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

Place = int | datetime | str
"""A state of the store: a revision, or a time, as text in the form of RFC 3339."""


@dataclass(frozen=True, slots=True)
class Version:
    """One line of a key's history.

    Attributes:
        version: n-th write since the key was last created; 0 if it has no value after this.
        op: ``put``, ``restore``, ``delete``, ``expire`` or ``erase``.
        time: of the commit.
        size: of the value, in bytes.
        expires: when the value expires; ``None``: never.
        meta: metadata of the value.
    """

    revision: int
    version: int
    op: str
    time: datetime
    size: int
    content_type: str = ""
    expires: datetime | None = None
    meta: Mapping[str, str] = field(default_factory=dict, hash=False)


@dataclass(frozen=True, slots=True)
class State:
    """What a key held at one of two moments; fields as in ``Version``."""

    revision: int
    version: int
    time: datetime
    size: int
    content_type: str
    expires: datetime | None = None
    meta: Mapping[str, str] = field(default_factory=dict, hash=False)


@dataclass(frozen=True, slots=True)
class Difference:
    """A key that differs between two moments.

    Attributes:
        change: ``added``, ``changed`` or ``removed``.
        before, after: what it held then; ``None``: it had no value.
    """

    key: str
    change: str
    before: State | None
    after: State | None


@dataclass(frozen=True, slots=True)
class RolledBack:
    """What a rollback did, or would do.

    Attributes:
        revision: of its commit; of the head if it wrote nothing.
        changes: of a dry run, from now to what would be; otherwise empty.
    """

    revision: int
    restored: int
    deleted: int
    unchanged: int
    changes: tuple[Difference, ...] = ()


@dataclass(frozen=True, slots=True)
class Retention:
    """Which history a store keeps.

    Attributes:
        keep_versions: so many newest versions of each key that has a value.
        keep_for_s: everything that could be seen in the last so many seconds.
    """

    keep_versions: int
    keep_for_s: float


@dataclass(frozen=True, slots=True)
class Erased:
    """What an erasure did.

    Attributes:
        revision: of its commit.
        versions: how many can no longer be read.
        is_pending: their bytes are still to be removed by a compaction.
    """

    revision: int
    versions: int
    is_pending: bool
