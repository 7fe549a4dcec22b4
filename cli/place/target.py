"""The interface of the data commands to a server or a folder.

``rundlet.Client`` implements ``Target``; ``cli.place.store.StoreTarget`` implements it over a
store of ``storage``. Both use the records of the client and raise ``rundlet`` or ``storage``
errors, which ``cli.exits`` maps.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Protocol, Self

from rundlet import (
    Commit,
    Condition,
    Difference,
    Erased,
    Event,
    KeyInfo,
    Op,
    Place,
    Retention,
    RolledBack,
    Value,
    Version,
    Written,
)


class Purpose(enum.Enum):
    """Why a command opens a folder."""

    READ = enum.auto()
    WRITE = enum.auto()  # creates a store if there is none, and reports it
    CHANGE = enum.auto()  # writes, but creates nothing
    COMPACT = enum.auto()
    COPY_FROM = enum.auto()  # reads, and holds a revision while it does
    COPY_TO = enum.auto()  # as WRITE, with keys and values of any size


class Watching(Protocol):
    """Changes in order; see ``rundlet.Watch``."""

    @property
    def position(self) -> int:
        """The revision up to which all events were returned."""

    def __iter__(self) -> Iterator[Event]:
        """Return the iterator itself."""

    def __enter__(self) -> Self:
        """Return the iterator itself."""

    def __exit__(self, *exc_info: object) -> None:
        """End the iteration."""


class Target(Protocol):
    """A store on a server or in a folder; ``rundlet.Client`` documents the methods."""

    def get(
        self,
        key: str,
        *,
        revision: int | None = None,
        at: datetime | str | None = None,
        version: int | None = None,
    ) -> Value | None:
        """Return the value of a key."""

    def set(
        self,
        key: str,
        value: bytes,
        *,
        ttl: float | None = None,
        content_type: str | None = None,
        meta: Mapping[str, str] | None = None,
        if_absent: bool = False,
        if_revision: int | None = None,
    ) -> Written:
        """Store a value."""

    def incr(self, key: str, by: int = 1) -> int:
        """Add to a number, and return the sum."""

    def mget(
        self, keys: Sequence[str], *, revision: int | None = None, at: datetime | str | None = None
    ) -> list[Value | None]:
        """Return the values of many keys, from one snapshot."""

    def txn(
        self,
        then: Sequence[Op],
        *,
        conditions: Sequence[Condition] = (),
        otherwise: Sequence[Op] | None = None,
    ) -> Commit:
        """Do many writes, all or none."""

    def scan(
        self,
        *,
        prefix: str = "",
        start: str | None = None,
        end: str | None = None,
        match: str | None = None,
        limit: int | None = None,
        reverse: bool = False,
        delimiter: str | None = None,
        values: bool = False,
        meta: bool = False,
        revision: int | None = None,
        at: datetime | str | None = None,
    ) -> Iterator[KeyInfo]:
        """Yield keys in order, from one snapshot; ``match`` excludes ``delimiter``."""

    def head(self, key: str) -> KeyInfo | None:
        """Return the details of a key's value, without its bytes."""

    def exists(self, key: str) -> bool:
        """Return whether a key has a value."""

    def count(self, *, prefix: str = "", match: str | None = None) -> int:
        """Return the number of keys."""

    def delete_prefix(self, prefix: str, *, match: str | None = None, expect: int) -> int:
        """Remove all keys with a prefix, if there are as many as expected."""

    def watch(
        self, prefix: str = "", *, since: int | None = None, values: bool = False
    ) -> Watching:
        """Return an iterator over all changes from now on, or from after a revision."""

    def history(self, key: str, *, limit: int | None = None) -> Iterator[Version]:
        """Yield the kept versions of a key, newest first."""

    def diff(
        self, start: Place, end: Place | None = None, *, prefix: str = ""
    ) -> Iterator[Difference]:
        """Yield the keys that differ between two revisions or times."""

    def rollback(
        self,
        to: Place,
        *,
        prefix: str | None = None,
        keys: Sequence[str] | None = None,
        dry_run: bool = False,
    ) -> RolledBack:
        """Restore keys to their values at a revision or a time."""

    def retention(
        self, *, keep_versions: int | None = None, keep_for_s: float | None = None
    ) -> Retention:
        """Return which history the store keeps; if arguments are given, change them first."""

    def erase(self, key: str, *, wait_s: float = 0) -> Erased | None:
        """Erase every version of a key for good; return ``None`` if there is none."""

    def url_of(self, key: str, *, is_prefix: bool = False) -> str:
        """Return the address of a key's value, or of the list of keys under a prefix."""

    def info(self) -> dict[str, object]:
        """Return a description of the store, with its limits."""

    def stats(self) -> dict[str, object]:
        """Return counts by name."""

    def compact(self) -> None:
        """Start a compaction."""

    def close(self) -> None:
        """Release connections, files and threads."""
