"""Applies the changes of one store to another, with several small commits in one transaction.

Consecutive commits are applied as one transaction as long as no key is in two of them. So every
version of every key is written, in order, and the changes of a commit become visible at once. Only
if a commit is larger than a transaction of the other store may be, it is applied in parts.

While a copy catches up, no client reads the other store yet, so many commits that have only puts
are stored in bulk.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Final, NamedTuple

from rundlet_server.cli.copy.loading import require_room
from rundlet_server.cli.copy.sides import Change, Commit, Side
from rundlet_server.storage.errors import LimitExceeded
from rundlet_server.storage.interface import Limits
from rundlet_server.storage.metadata import metadata_bytes

_OPS_MAX: Final = 1_000
_BYTES_MAX: Final = 8 * 1024 * 1024
_BULK_ROWS_MIN: Final = 5_000
_BULK_ROWS_MAX: Final = 20_000
_BULK_BYTES_MAX: Final = 6 * 1024 * 1024


class Batch(NamedTuple):
    """Changes of different keys, and the revision that is reached after them.

    Attributes:
        revision: 0 for a part of a commit that is not its last part.
    """

    changes: list[Change]
    revision: int


def catch_up(to: Side, commits: Iterable[Commit], on_reached: Callable[[int], None]) -> None:
    """Do as ``replay`` does, but store many puts in bulk; a kill may leave a part of a commit."""
    waiting = _Waiting()
    for commit in commits:
        if not waiting.has_room(commit):
            waiting.make(to, on_reached)
            waiting = _Waiting()
        waiting.add(commit)
    waiting.make(to, on_reached)


class _Waiting:
    """Commits to store in bulk: they have only puts that do not expire, of different keys."""

    def __init__(self) -> None:
        self._commits: list[Commit] = []
        self._keys: set[str] = set()
        self._size = 0
        self._is_plain = True

    def has_room(self, commit: Commit) -> bool:
        """Return whether a commit can be added."""
        is_plain = _is_plain(commit)
        if not self._commits:
            return True
        is_full = len(self._keys) >= _BULK_ROWS_MAX or self._size >= _BULK_BYTES_MAX
        if is_full or is_plain != self._is_plain:
            return False
        return not is_plain or self._keys.isdisjoint(each.key for each in commit.changes)

    def add(self, commit: Commit) -> None:
        """Add a commit."""
        if commit.changes:
            self._is_plain = _is_plain(commit)
        self._commits.append(commit)
        self._keys |= {each.key for each in commit.changes}
        self._size += sum(map(_size, commit.changes))

    def make(self, to: Side, on_reached: Callable[[int], None]) -> None:
        """Apply all added commits."""
        items = [each.item for commit in self._commits for each in commit.changes if each.item]
        if self._is_plain and len(items) >= _BULK_ROWS_MIN:
            require_room(items, to)
            to.put_all(items)
            on_reached(self._commits[-1].revision)
        else:
            replay(to, self._commits, on_reached)


def replay(to: Side, commits: Iterable[Commit], on_reached: Callable[[int], None]) -> None:
    """Apply commits to a store.

    Args:
        to: the store.
        commits: the commits, in order.
        on_reached: called after each transaction with the revision of its last complete commit.

    Raises:
        CommandError: a key or a value is too large for the store.
    """
    for batch in batches(commits, to.facts.limits):
        try:
            to.apply(batch.changes)
        except LimitExceeded:
            require_room([change.item for change in batch.changes if change.item], to)
            raise
        if batch.revision:
            on_reached(batch.revision)


def batches(commits: Iterable[Commit], limits: Limits) -> Iterator[Batch]:
    """Group commits into few transactions."""
    ops_max = min(_OPS_MAX, limits.txn_ops_max)
    bytes_max = min(_BYTES_MAX, limits.txn_bytes_max)
    waiting: list[Change] = []
    keys: set[str] = set()
    size = revision = 0
    for commit in commits:
        its_size = sum(map(_size, commit.changes))
        is_room = len(waiting) + len(commit.changes) <= ops_max and size + its_size <= bytes_max
        if waiting and not (is_room and keys.isdisjoint(each.key for each in commit.changes)):
            yield Batch(waiting, revision)
            waiting, keys, size = [], set(), 0
        *parts, last = _parts(commit.changes, ops_max, bytes_max)
        yield from (Batch(part, 0) for part in parts)
        waiting += last
        keys |= {each.key for each in last}
        size += sum(map(_size, last))
        revision = commit.revision
    if waiting or revision:
        yield Batch(waiting, revision)


def _parts(changes: list[Change], ops_max: int, bytes_max: int) -> list[list[Change]]:
    """Split the changes of a commit into parts that fit into transactions; mostly one part."""
    parts: list[list[Change]] = [[]]
    size = 0
    for change in changes:
        its_size = _size(change)
        if parts[-1] and (len(parts[-1]) == ops_max or size + its_size > bytes_max):
            parts.append([])
            size = 0
        parts[-1].append(change)
        size += its_size
    return parts


def _is_plain(commit: Commit) -> bool:
    items = [each.item for each in commit.changes]
    return all(item and item.expires_us is None and not item.metadata for item in items)


def _size(change: Change) -> int:
    size = len(change.key.encode())
    if change.item is None:
        return size
    return size + len(change.item.value) + metadata_bytes(change.item.metadata)
