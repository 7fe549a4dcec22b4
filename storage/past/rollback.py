"""Roll keys back to what they held at an earlier moment, whichever backend the store has."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import cbor2

from rundlet_server.storage.errors import Conflict, InvalidOperation, LimitExceeded
from rundlet_server.storage.interface import Condition, Delete, Op, Restore, Store, Txn
from rundlet_server.storage.outcomes.idempotency import Idempotency
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
        revision: of its commit; if nothing was to be written, of the head it was compared with.
        restored: keys whose value was written again.
        deleted: keys that had no value then.
        unchanged: keys within the scope that were left alone.
        changes: between the head and the result; empty for a replay.
        is_replay: it was done before, by the same request.
    """

    revision: int
    restored: int
    deleted: int
    unchanged: int
    changes: list[Difference]
    is_replay: bool = False


def recall(store: Store, idempotency: Idempotency) -> RolledBack | None:
    """Return what a rollback did, if its outcome is remembered."""
    commit = store.commit(Txn([], idempotency=idempotency))
    return None if commit.note is None else _replayed(commit.revision, commit.note)


def roll_back(
    store: Store,
    to: Moment,
    scope: Scope,
    *,
    dry_run: bool = False,
    idempotency: Idempotency | None = None,
) -> RolledBack:
    """Make keys hold what they held at a moment, in one transaction.

    What it writes is decided from one revision of the store. A write of another client that comes
    between is never lost: the transaction names the revision of every key it writes, and is decided
    anew if one of them has another by then. A key that it leaves alone, or that is new, keeps what
    others write to it meanwhile.

    Args:
        store: with ``history`` and, for a prefix, ``changes``.
        to: the moment.
        scope: which keys.
        dry_run: only report what would be done.
        idempotency: do it only once; call ``recall`` first to see whether it was done.

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
        restored = sum(change.after is not None for change in changes)
        counts = (restored, len(changes) - restored, _unchanged(store, head, scope, changes))
        if dry_run:
            return RolledBack(head.revision, *counts, changes)
        txn = _transaction(changes, to)
        if idempotency is not None:
            noted = dataclasses.replace(idempotency, note=cbor2.dumps(counts))
            txn = dataclasses.replace(txn, idempotency=noted)
        try:
            commit = store.commit(txn)
        except (Conflict, InvalidOperation):
            # Another write came first, or compaction has dropped a value: decide anew.
            if attempt == _ATTEMPTS:
                raise
            attempt += 1
            continue
        if commit.note is not None:
            return _replayed(commit.revision, commit.note)
        return RolledBack(commit.revision if changes else head.revision, *counts, changes)


def _replayed(revision: int, note: bytes) -> RolledBack:
    restored, deleted, unchanged = cbor2.loads(note)
    return RolledBack(revision, restored, deleted, unchanged, [], is_replay=True)


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


def _transaction(changes: Sequence[Difference], to: Moment) -> Txn:
    ops: list[Op] = [
        Delete(change.key) if change.after is None else Restore(change.key, revision=to.revision)
        for change in changes
    ]
    conditions = [
        Condition(change.key, revisions=(change.before.revision if change.before else 0,))
        for change in changes
    ]
    return Txn(ops, conditions)
