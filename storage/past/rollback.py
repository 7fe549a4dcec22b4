"""Putting keys back to what they held at an earlier moment, whichever backend the store has."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from rundlet_server.storage.errors import Conflict, InvalidOperation, LimitExceeded
from rundlet_server.storage.interface import Condition, Delete, Op, Restore, Store, Txn
from rundlet_server.storage.past.differences import (
    Difference,
    differ,
    differences,
    moment_of,
    state_of,
)
from rundlet_server.storage.timeline import Moment

_ATTEMPTS: Final = 5
_COUNTED: Final = 10
"""A rollback that is too large is counted up to so many times the limit."""


@dataclass(frozen=True, slots=True)
class Scope:
    """Which keys are rolled back: those named, or else all that start with a prefix."""

    prefix: str = ""
    keys: Sequence[str] | None = None


@dataclass(frozen=True, slots=True)
class RolledBack:
    """What a rollback did, or would do.

    Attributes:
        revision: of its commit; of the head if nothing was to be written.
        restored: keys whose value was written again.
        deleted: keys that had no value then.
        unchanged: keys within the scope that were left alone.
        changes: from the head to what is there now.
    """

    revision: int
    restored: int
    deleted: int
    unchanged: int
    changes: list[Difference]


def roll_back(store: Store, to: Moment, scope: Scope, *, dry_run: bool = False) -> RolledBack:
    """Make keys hold what they held at a moment, in one transaction.

    A write of another client that comes between is never lost: the transaction names the revision
    of every key it writes, and is worked out anew if one of them has another by then.

    Args:
        store: with ``history`` and, for a prefix, ``changes``.
        to: the moment.
        scope: which keys.
        dry_run: only say what would be done.

    Raises:
        Conflict: other clients kept changing the keys.
        LimitExceeded: more keys or bytes would change than a transaction may have.
        Compacted: the moment is no longer kept.
        ReadOnly, Unavailable, OutcomeUnknown: as ``Store.commit``.
    """
    attempt = 1
    while True:
        head = moment_of(store)
        changes = _changes(store, head, to, scope)
        _require_few(store, changes)
        unchanged = _unchanged(store, head, scope, changes)
        try:
            revision = head.revision if dry_run else _commit(store, changes, to)
        except (Conflict, InvalidOperation):
            # Another write came first, or compaction has taken a value: see what there is now.
            if attempt == _ATTEMPTS:
                raise
            attempt += 1
            continue
        restored = sum(change.after is not None for change in changes)
        return RolledBack(revision, restored, len(changes) - restored, unchanged, changes)


def _changes(store: Store, head: Moment, to: Moment, scope: Scope) -> list[Difference]:
    if scope.keys is None:
        limit = _COUNTED * store.info.limits.txn_ops_max
        return differences(store, head, to, prefix=scope.prefix, limit=limit).found
    changes = []
    for key in dict.fromkeys(scope.keys):
        now, then = state_of(store, key, head), state_of(store, key, to)
        if differ(now, then):
            changes.append(Difference(key, now, then))
    return changes


def _require_few(store: Store, changes: Sequence[Difference]) -> None:
    limit = store.info.limits.txn_ops_max
    if len(changes) > limit:
        raise LimitExceeded("txn_ops_max", limit, len(changes))


def _unchanged(store: Store, head: Moment, scope: Scope, changes: Sequence[Difference]) -> int:
    """Count the keys that are left alone."""
    if scope.keys is not None:
        return len(set(scope.keys)) - len(changes)
    stats = store.stats() if not scope.prefix else None  # costs nothing; a count reads all keys
    if stats is not None and stats.revision == head.revision:
        count = stats.key_count
    else:
        count = store.count(prefix=scope.prefix, at=head)
    return count - sum(change.before is not None for change in changes)


def _commit(store: Store, changes: Sequence[Difference], to: Moment) -> int:
    ops: list[Op] = [
        Delete(change.key) if change.after is None else Restore(change.key, revision=to.revision)
        for change in changes
    ]
    conditions = [
        Condition(change.key, revisions=(change.before.revision if change.before else 0,))
        for change in changes
    ]
    return store.commit(Txn(ops, conditions)).revision
