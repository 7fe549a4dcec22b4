"""The interface of the two stores of a copy, on a server or opened in this process."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import NamedTuple, Protocol

from rundlet_server.storage.interface import Limits
from rundlet_server.storage.metadata import NO_METADATA, Metadata


class Item(NamedTuple):
    """A key with its value.

    Attributes:
        expires_us: when it expires, by the clock of the store's machine.
        version: of the key.
        revision: of the value.
    """

    key: str
    value: bytes
    content_type: str
    expires_us: int | None
    version: int = 0
    revision: int = 0
    metadata: Metadata = NO_METADATA


class Change(NamedTuple):
    """The change of a key in a commit.

    Attributes:
        item: the new value of the key; ``None`` if it has none.
        is_erased: the whole history of the key was erased.
    """

    key: str
    item: Item | None = None
    is_erased: bool = False


class Commit(NamedTuple):
    """One commit without its expiries, because each store expires keys by itself."""

    revision: int
    time_us: int
    changes: list[Change]


class News(NamedTuple):
    """A page of commits, and the revision that it reaches."""

    commits: list[Commit]
    reached: int


class Facts(NamedTuple):
    """Facts about a store that do not change while it is open.

    Attributes:
        shown: its address, without a password.
        store_id: opaque and unique.
        limits: on keys, values and transactions.
        keeps_history: old revisions can be read, and changes can be followed.
        is_read_only: it takes no writes.
    """

    shown: str
    store_id: str
    limits: Limits
    keeps_history: bool
    is_read_only: bool


class Side(Protocol):
    """A store that is copied, or copied to. One thread at a time may use it."""

    facts: Facts

    def head(self) -> int:
        """Return the newest revision."""

    def oldest(self) -> int:
        """Return the oldest revision that can be read and followed."""

    def key_count(self) -> int:
        """Return how many keys have a value now."""

    def hold(self, revision: int) -> AbstractContextManager[None]:
        """Keep a revision readable within the block, if the store can do that from this process.

        Raises:
            Compacted: the revision is no longer kept.
        """

    def pages(self, after: str, revision: int | None) -> Iterator[list[Item]]:
        """Yield all keys after ``after`` in order, of a revision, or of the head."""

    def older(self, item: Item) -> list[Item]:
        """Return the kept versions before one, oldest first, without their values."""

    def value_of(self, item: Item) -> Item | None:
        """Return an older version with its value; ``None`` if it is no longer kept."""

    def changes(self, since: int) -> News:
        """Return the next commits after a revision, with values."""

    def wait(self, since: int, timeout_s: float) -> None:
        """Return once something was committed after a revision, or after the timeout."""

    def put_all(self, items: Sequence[Item]) -> None:
        """Store values of different keys durably, in any order; skip expired ones."""

    def apply(self, changes: Sequence[Change]) -> None:
        """Apply changes of different keys, as one transaction if the store can do that."""

    def finish(self) -> None:
        """Prepare the stored data for fast reads."""

    def retention(self) -> tuple[int, float]:
        """Return the retention: versions of each key, and seconds for all history."""

    def retain(self, keep_versions: int, keep_for_s: float) -> None:
        """Set the retention, as far as the store supports it."""


def older_of(item: Item, history: Iterable[tuple[int, int]]) -> list[Item]:
    """Return the versions before one since the key was created, from the key's history.

    Args:
        item: the version.
        history: revision and version of every line, newest first; the version is 0 if the key has
            no value after it.

    Returns:
        The older versions, oldest first. None if the key was deleted and created again since,
        because a version can be read by number only since the key was last created.
    """
    found: list[Item] = []
    for revision, version in history:
        if revision >= item.revision:
            if not version:
                return []
            continue
        if not version or version >= item.version:
            break
        found.append(
            item._replace(value=b"", metadata=NO_METADATA, version=version, revision=revision)
        )
    return found[::-1]
