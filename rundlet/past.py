"""The records of history: versions, differences, and the results of rollbacks and erasures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

Place = int | datetime | str
"""A state of the store: a revision, or a time; a text is a time in the form of RFC 3339."""


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
    """The state of a key at one of two moments, without its value; fields as in ``Version``."""

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
        before, after: its states at the two moments; ``None`` if it had no value.
    """

    key: str
    change: str
    before: State | None
    after: State | None


@dataclass(frozen=True, slots=True)
class RolledBack:
    """The result of a rollback, or of a dry run.

    Attributes:
        revision: of its commit; of the head if it wrote nothing.
        changes: of a dry run, from the current state to the result; otherwise empty.
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
        keep_versions: how many of the newest versions of each key that has a value.
        keep_for_s: for how many seconds every earlier state of the store stays readable.
    """

    keep_versions: int
    keep_for_s: float


@dataclass(frozen=True, slots=True)
class Erased:
    """The result of an erasure.

    Attributes:
        revision: of its commit.
        versions: number of versions that it erased; 0 if the key was erased before, also by an
            attempt whose answer was lost.
        is_pending: a compaction has not yet removed their bytes from the disk.
    """

    revision: int
    versions: int
    is_pending: bool
