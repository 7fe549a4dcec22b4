"""Transactions, decided one after the other against the newest versions of their keys.

The writer (``writing``) fills a batch while it holds the lock of the store. A transaction sees the
writes of those before it in the batch; nothing else does until all are committed together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from rundlet_server.storage.errors import Conflict, InvalidOperation, LimitExceeded
from rundlet_server.storage.interface import (
    DEFAULT_CONTENT_TYPE,
    TEXT_CONTENT_TYPE,
    Add,
    Delete,
    Limits,
    Op,
    Put,
    Restore,
    Touch,
    Txn,
)
from rundlet_server.storage.metadata import encode_metadata
from rundlet_server.storage.outcomes.results import Commit, OpResult
from rundlet_server.storage.postgres.remembering import Outcomes
from rundlet_server.storage.requests import added, failed_conditions
from rundlet_server.storage.timeline import EventKind


@dataclass(frozen=True, slots=True)
class Head:
    """The row of ``meta`` at the beginning of a batch, and the time of the batch."""

    revision: int
    oldest_revision: int
    time_us: int


class Write(NamedTuple):
    """A row of ``kv``; see ``schema``.

    Attributes:
        metadata: as ``encode_metadata`` returns it; ``None`` if there is none.
        value: ``None`` if it has none, is not known here, or is copied.
        source: the revision of the row of the same key that the value is copied from.
    """

    key: bytes
    revision: int
    sequence: int
    kind: EventKind
    version: int
    life: int
    time_us: int
    content_type: str
    expires_us: int | None
    size: int
    metadata: bytes | None = None
    value: bytes | None = None
    source: int | None = None


Newest = Mapping[bytes, Write]
FindPast = Callable[[bytes, Restore], Write | None]
"""Returns the row that an operation restores; ``None`` if it is not there."""


class Batch:
    """Rows that are to be written.

    Attributes:
        revision: of the head after them.
        rows: in order; of the same key, each ends the one before.
        ended: by key and revision of a row, the revision that ends it.
        commits: the revisions that the batch makes.
        outcomes: of idempotency keys; found before, and made by the batch.
        key_count, value_bytes: by how much it changes the totals.
    """

    def __init__(
        self,
        head: Head,
        newest: Newest,
        limits: Limits,
        find_past: FindPast,
        outcomes: Outcomes | None = None,
    ) -> None:
        """Begin a batch.

        Args:
            head: of the store, which is locked.
            newest: rows of the keys that the transactions name, as far as these have values.
            limits: of a transaction.
            find_past: finds the row that an operation restores.
            outcomes: of the idempotency keys of the transactions; ``None`` if they have none.
        """
        self.revision = head.revision
        self.rows: list[Write] = []
        self.ended: dict[tuple[bytes, int], int] = {}
        self.commits: list[int] = []
        self.key_count = 0
        self.value_bytes = 0
        self.outcomes = outcomes or Outcomes((), head.time_us)
        self._now_us = head.time_us
        self._newest = dict(newest)
        self._limits = limits
        self._find_past = find_past
        self._copied_bytes = 0

    def add(self, txn: Txn) -> Commit:
        """Decide a transaction, and add its writes.

        Raises:
            Conflict: conditions failed and there is no ``otherwise``.
            IdempotencyKeyReused: another request was done with its key.
            InvalidOperation, LimitExceeded: an operation cannot be done; expired values still end.
        """
        if txn.idempotency is not None:
            done_before = self.outcomes.done_before(txn.idempotency)
            if done_before is not None:
                return done_before
        failed = failed_conditions(txn.conditions, self._state) if txn.conditions else ()
        if failed and txn.otherwise is None:
            raise Conflict(failed)
        ops = txn.then if not failed else txn.otherwise or ()
        keys = [op.key.encode() for op in ops]
        self.expire(keys)
        self._copied_bytes = 0
        done = [self._do(index, op, keys[index]) for index, op in enumerate(ops)]
        writes = [write for _, write in done if write is not None]
        results = tuple(result for result, _ in done)
        if writes and txn.idempotency is not None:
            commit = Commit(not failed, self.revision + 1, results)
            self.outcomes.remember(txn.idempotency, commit)
        self._append(writes)
        return Commit(not failed, self.revision, results)

    def expire(self, keys: Iterable[bytes]) -> None:
        """End values that have expired, at a revision of their own, before other writes."""
        due = [key for key in keys if key in self._newest and self._live(key) is None]
        self._append([self._end(key, "expire") for key in due])

    def _state(self, key: bytes) -> tuple[int, int]:
        current = self._live(key)
        return (current.revision, current.version) if current else (0, 0)

    def _do(self, index: int, op: Op, key: bytes) -> tuple[OpResult, Write | None]:
        """Return the result of an operation, and the row that it writes."""
        current = self._live(key)
        number: int | None = None
        match op:
            case Put():
                write = self._put(key, current, op.value, op.content_type, op.ttl_s)
                write = write._replace(expires_us=op.expires_us or write.expires_us)
                if op.metadata:
                    write = write._replace(metadata=encode_metadata(op.metadata))
            case Delete() if current is None:
                return OpResult(found=False, version=0), None
            case Delete():
                write = self._end(key, "delete")
            case Add():
                number = added(index, op, current.value if current else b"0")
                write = self._put(key, current, b"%d" % number, TEXT_CONTENT_TYPE, None)
                if current is not None:
                    write = write._replace(
                        content_type=current.content_type,
                        expires_us=current.expires_us,
                        metadata=current.metadata,
                    )
            case Touch() | Restore():
                write = self._copied(index, op, key, current)
        return OpResult(current is not None, write.version, number), write

    def _copied(self, index: int, op: Touch | Restore, key: bytes, current: Write | None) -> Write:
        """Return a new version with a value that the key has or had."""
        if isinstance(op, Touch):
            if current is None:
                raise InvalidOperation(index, f"there is no key {op.key!r}")
            return self._copy(key, current, current, op.ttl_s)
        is_reached = op.revision is None or op.revision <= self.revision
        source = self._find_past(key, op) if is_reached else None
        if source is None:
            reason = f"{op.key!r} cannot be restored: it had no such value, or it is not kept"
            raise InvalidOperation(index, reason)
        return self._copy(key, current, source, op.ttl_s)._replace(kind="restore")

    def _put(
        self,
        key: bytes,
        current: Write | None,
        value: bytes | None,
        content_type: str,
        ttl_s: float | None,
    ) -> Write:
        """Return a new version of a key."""
        revision = self.revision + 1
        return Write(
            key,
            revision,
            0,
            "put",
            current.version + 1 if current else 1,
            current.life if current else revision,
            self._now_us,
            content_type,
            None if ttl_s is None else self._now_us + max(1, round(ttl_s * 1_000_000)),
            len(value or b""),
            value=value,
        )

    def _copy(self, key: bytes, current: Write | None, source: Write, ttl_s: float | None) -> Write:
        """Return a new version with the value of a row, which the database copies.

        The limit is needed because small requests can name many large values.
        """
        size = self._copied_bytes + source.size
        if self._copied_bytes and size > self._limits.txn_bytes_max:
            raise LimitExceeded("txn_bytes_max", self._limits.txn_bytes_max, size)
        self._copied_bytes = size
        write = self._put(key, current, source.value, source.content_type, ttl_s)
        write = write._replace(metadata=source.metadata)
        if source.value is not None:
            return write
        origin = source.revision if source.source is None else source.source
        return write._replace(size=source.size, source=origin)

    def _end(self, key: bytes, kind: EventKind) -> Write:
        """Return a row that ends the life of a key."""
        revision = self.revision + 1
        life = self._newest[key].life
        return Write(key, revision, 0, kind, 0, life, self._now_us, DEFAULT_CONTENT_TYPE, None, 0)

    def _append(self, writes: Sequence[Write]) -> None:
        """Add the rows of one commit."""
        if not writes:
            return
        self.revision += 1
        self.commits.append(self.revision)
        for sequence, each in enumerate(writes):
            write = each._replace(sequence=sequence)
            replaced = self._newest.pop(write.key, None)
            if replaced is not None:
                self.ended[replaced.key, replaced.revision] = write.revision
                self.key_count -= 1
                self.value_bytes -= replaced.size
            if has_value(write.kind):
                self._newest[write.key] = write
                self.key_count += 1
                self.value_bytes += write.size
            else:
                self.ended[write.key, write.revision] = write.revision
            self.rows.append(write)

    def _live(self, key: bytes) -> Write | None:
        """Return the newest version of a key if it has not expired."""
        newest = self._newest.get(key)
        if newest is None or newest.expires_us is None or newest.expires_us > self._now_us:
            return newest
        return None


def has_value(kind: EventKind) -> bool:
    """Return whether a row of this kind holds a value."""
    return kind in ("put", "restore")
