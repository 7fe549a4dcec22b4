"""What the data commands work on, be it a server or a folder.

``rundlet.Client`` is a ``Target`` as it is; ``cli.place.store.StoreTarget`` makes one of a
``storage`` store. Both speak the client's records and raise ``rundlet`` or ``storage`` errors,
which ``cli.exits`` maps.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator, Sequence
from typing import Protocol

from rundlet import Commit, Condition, KeyInfo, Op, Value, Written


class Purpose(enum.Enum):
    """What a command opens a folder for."""

    READ = enum.auto()
    WRITE = enum.auto()
    COMPACT = enum.auto()


class Target(Protocol):
    """A store, wherever it is; ``rundlet.Client`` says what each method does."""

    def get(self, key: str, *, revision: int | None = None) -> Value | None:
        """The value of a key."""

    def set(
        self,
        key: str,
        value: bytes,
        *,
        ttl: float | None = None,
        content_type: str | None = None,
        if_absent: bool = False,
        if_revision: int | None = None,
    ) -> Written:
        """Store a value."""

    def incr(self, key: str, by: int = 1) -> int:
        """Add to a number; the new one."""

    def mget(self, keys: Sequence[str]) -> list[Value | None]:
        """The values of many keys, from one snapshot."""

    def txn(self, then: Sequence[Op], *, conditions: Sequence[Condition] = ()) -> Commit:
        """Many writes, all or none."""

    def scan(
        self,
        *,
        prefix: str = "",
        limit: int | None = None,
        delimiter: str | None = None,
        values: bool = False,
    ) -> Iterator[KeyInfo]:
        """Keys in order, from one snapshot."""

    def url_of(self, key: str, *, is_prefix: bool = False) -> str:
        """The address of a key's value, or of the list of keys under a prefix."""

    def info(self) -> dict[str, object]:
        """What the store is, with its limits."""

    def stats(self) -> dict[str, object]:
        """Counts by name."""

    def compact(self) -> None:
        """Start a compaction."""

    def close(self) -> None:
        """Let go of connections, files and threads."""
