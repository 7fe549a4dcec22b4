"""What a copy needs of the two stores, wherever they are."""

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
    """What a commit did to a key.

    Attributes:
        item: what the key has after it; ``None``: nothing.
        is_erased: its whole history is gone.
    """

    key: str
    item: Item | None = None
    is_erased: bool = False


class Commit(NamedTuple):
    """One commit; expiries are left out, as each store ends what has expired by itself."""

    revision: int
    time_us: int
    changes: list[Change]


class News(NamedTuple):
    """A page of commits, and the revision that it reaches."""

    commits: list[Commit]
    reached: int


class Facts(NamedTuple):
    """What does not change while a store is open.

    Attributes:
        shown: its address, without a password.
        store_id: opaque; no other store has it.
        limits: on keys, values and transactions.
        keeps_history: old revisions can be read, and changes be followed.
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
        """Keep a revision readable, as far as this store can do that from here.

        Raises:
            Compacted: it is no longer kept.
        """

    def pages(self, after: str, revision: int | None) -> Iterator[list[Item]]:
        """Yield all keys above ``after`` in order, of one snapshot: a revision, or now."""

    def older(self, item: Item) -> list[Item]:
        """Return what is kept of the versions before one, oldest first; values are left out."""

    def value_of(self, item: Item) -> Item | None:
        """Fill in the value of an older version; ``None`` if it is gone."""

    def changes(self, since: int) -> News:
        """Return the next commits after a revision, with values."""

    def wait(self, since: int, timeout_s: float) -> None:
        """Return once something was committed after a revision, or after the timeout."""

    def put_all(self, items: Sequence[Item]) -> None:
        """Store values of different keys durably, in any order; what has expired is left out."""

    def apply(self, changes: Sequence[Change]) -> None:
        """Make changes of different keys, as one transaction where the store can do that."""

    def finish(self) -> None:
        """Make what was stored quick to read."""

    def retention(self) -> tuple[int, float]:
        """Return how many versions are kept, and for how many seconds everything is."""

    def retain(self, keep_versions: int, keep_for_s: float) -> None:
        """Keep as much history, as far as this store can."""


def older_of(item: Item, history: Iterable[tuple[int, int]]) -> list[Item]:
    """Pick the versions before one, of the same life, out of a key's history.

    Args:
        item: the version.
        history: revision and version of every line, newest first; the version is 0 where the key
            has no value after it.

    Returns:
        The older ones, oldest first; none if the key has begun another life since: its versions
        can be asked for by number only in the newest.
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
