"""A batch: transactions decided one after the other against the head, then written as one.

The leader of a group commit (``group_commit``) fills a batch while it holds the store's lock. A
transaction sees the writes of those before it in the batch, although they are not on disk yet; no
reader sees any of them until the whole batch is.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from rundlet_server.storage.errors import Conflict, InvalidOperation, LimitExceeded
from rundlet_server.storage.interface import (
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
from rundlet_server.storage.log.format import frame as frames
from rundlet_server.storage.log.format import record as records
from rundlet_server.storage.log.format.locator import Locator
from rundlet_server.storage.log.format.record import (
    DELETE,
    ERASE,
    EXPIRE,
    PUT,
    RESTORE,
    TOMBSTONES,
    VERSION_MAX,
    Record,
)
from rundlet_server.storage.log.read.past import NotThereError, find_at, find_version, kept_of
from rundlet_server.storage.log.read.view import View
from rundlet_server.storage.log.write.expire import Expire
from rundlet_server.storage.log.write.free_space import FreeSpace
from rundlet_server.storage.log.write.pending import PendingFrames
from rundlet_server.storage.log.write.remembering import (
    is_forgotten,
    outcome_key,
    outcome_record,
)
from rundlet_server.storage.outcomes.idempotency import Idempotency
from rundlet_server.storage.outcomes.remembering import replayed
from rundlet_server.storage.outcomes.results import Commit, OpResult
from rundlet_server.storage.requests import (
    NUMBER_BYTES_MAX,
    added,
    failed_conditions,
)

_RECORD_OVERHEAD_MAX: Final = records.OVERHEAD + records.META_BYTES_MAX
"""Bytes of a record beside its key and value, at most."""
ANY_FRAME_BYTES_MAX: Final = frames.SIZE_MAX // 8
"""A transaction whose limit is at most this fits into a frame, whatever it copies."""


class Batch:
    """Decides transactions, and makes a frame of each that writes.

    Attributes:
        frames: the frames to append at the end of the view's log.
        commit_count: transactions among them.
    """

    def __init__(
        self,
        view: View,
        *,
        salt: int,
        now_us: int,
        synced: int,
        limits: Limits,
        free_space: FreeSpace,
    ) -> None:
        """Begin a batch.

        Args:
            view: up to date, and kept so by the store's lock.
            salt: of the active segment.
            now_us: the time of all commits of the batch.
            synced: offset in the active segment up to which it is on stable storage.
            limits: of a transaction.
            free_space: decides whether the disk has space for values; deletions always have it.
        """
        self._view = view
        self._now_us = now_us
        self._limits = limits
        self._free_space = free_space
        self._copied_bytes = 0
        self.frames = PendingFrames(view, salt=salt, now_us=now_us, synced=synced)
        self.commit_count = 0

    def add_plain(self, txns: Sequence[Txn], start: int) -> list[Commit]:
        """Decide the transactions from ``start`` on, up to the first that is not plain puts.

        Returns:
            Their commits; ``add`` decides the next transaction, and may refuse it.
        """
        if self._limits.txn_bytes_max > ANY_FRAME_BYTES_MAX:
            return []
        accepts = None if self._free_space.is_plenty else self._accepts
        commits = self.frames.add_plain(txns, start, accepts)
        self.commit_count += len(commits)
        return commits

    def add(self, txn: Txn) -> Commit:
        """Decide a transaction and add its writes.

        Raises:
            Conflict: conditions failed and there is no ``otherwise``.
            IdempotencyKeyReused: another request was done with its key.
            InvalidOperation, LimitExceeded: an operation cannot be done; expiries that fell due are
                still logged.
            DiskFull: it writes values, and the free space is reserved for deletions; expiries are
                logged in this case, too.
        """
        if txn.idempotency is not None:
            done = self._done_before(txn.idempotency)
            if done is not None:
                return done
        failed = failed_conditions(txn.conditions, self._state) if txn.conditions else ()
        if failed and txn.otherwise is None:
            raise Conflict(failed)
        ops = txn.then if not failed else txn.otherwise or ()
        plain = self.add_plain([Txn(ops)], 0) if txn.idempotency is None else []
        if plain:
            return plain[0]._replace(succeeded=not failed)
        results = self._do_all(ops, txn.idempotency, succeeds=not failed)
        return Commit(not failed, self.frames.head.revision, results)

    def _accepts(self, size: int) -> bool:
        return self._free_space.accepts(self._view, size)

    def _do_all(
        self, ops: Sequence[Op], idempotency: Idempotency | None, *, succeeds: bool
    ) -> tuple[OpResult, ...]:
        """Do the operations of a transaction, whatever they are; raises what ``add`` raises."""
        keys = [op.key.encode() for op in ops]
        self._expire_first(keys)
        self._copied_bytes = 0
        written: list[Record] = []
        results = tuple(self._do(index, op, keys[index], written) for index, op in enumerate(ops))
        if written:
            if idempotency is not None:
                commit = Commit(succeeds, self.frames.next_revision, results)
                written.append(outcome_record(idempotency, commit, self._now_us))
            if self._limits.txn_bytes_max > ANY_FRAME_BYTES_MAX:
                self._require_frame(written)
            if not self._free_space.is_plenty:
                self._require_space(written)
            self.frames.add(written)
            self.commit_count += 1
        return results

    def _done_before(self, idempotency: Idempotency) -> Commit | None:
        """Return the outcome that is remembered for a key."""
        key = outcome_key(idempotency)
        locator = self.frames.latest(key)
        if locator is None or is_forgotten(locator, self._now_us):
            return None
        return replayed(self.frames.read(key, locator).value, idempotency, locator.revision)

    def expire(self, expired: Sequence[Expire]) -> int:
        """Log expiries, except of keys that were written again meanwhile; return how many."""
        written = []
        for text, revision in expired:
            key = text.encode()
            locator = self.frames.latest(key)
            if locator is not None and locator.revision == revision and self._is_due(locator):
                written.append(self._tombstone(key, EXPIRE))
        if written:
            self.frames.add(written)
        return len(written)

    def erase(self, key: bytes) -> int:
        """Log that a key is erased; return how many of its values can no longer be read."""
        self._expire_first([key])
        kept = kept_of(self._view, key, self.frames.versions(key))
        count = sum(not locator.is_tombstone for locator in kept)
        self.frames.add([self._tombstone(key, ERASE)])
        return count

    def _state(self, key: bytes) -> tuple[int, int]:
        locator = self._live(key)
        return (locator.revision, locator.version) if locator else (0, 0)

    def _expire_first(self, keys: Sequence[bytes]) -> None:
        """Log the expiry of values that the transaction overwrites, as an event before its own."""
        due = []
        for key in keys:
            locator = self.frames.latest(key)
            if locator is not None and self._is_due(locator) and not locator.is_tombstone:
                due.append(self._tombstone(key, EXPIRE))
        if due:
            self.frames.add(due)

    def _do(self, index: int, op: Op, key: bytes, written: list[Record]) -> OpResult:
        """Do one operation, and add the record that it writes to ``written``."""
        current = self._live(key)
        if current is not None and current.version == VERSION_MAX:
            raise InvalidOperation(
                index,
                f"the key is at version {VERSION_MAX}, the last one; delete it",
            )
        number: int | None = None
        match op:
            case Put():
                record = self._given(op, key, current)
            case Delete():
                if current is None:
                    return OpResult(found=False, version=0)
                record = self._tombstone(key, DELETE)
            case Add():
                number, record = self._added(index, op, key, current)
            case Touch():
                record = self._touched(index, op, key, current)
            case Restore():
                record = self._restored(index, op, key, current)
        written.append(record)
        return OpResult(current is not None, record.version, number)

    def _given(self, op: Put, key: bytes, current: Locator | None) -> Record:
        record = self._put(key, op.value, current, op.content_type, op.ttl_s)
        if op.metadata:
            record = record._replace(metadata=op.metadata)
        return record if op.expires_us is None else record._replace(expires_us=op.expires_us)

    def _put(
        self,
        key: bytes,
        value: bytes,
        current: Locator | None,
        content_type: str,
        ttl_s: float | None = None,
    ) -> Record:
        """Return a new version of a key."""
        version = current.version + 1 if current else 1
        now_us = self._now_us
        expires_us = 0 if ttl_s is None else now_us + max(1, round(ttl_s * 1_000_000))
        revision = self.frames.next_revision
        return Record(key, value, PUT, revision, version, now_us, content_type, expires_us)

    def _tombstone(self, key: bytes, kind: int) -> Record:
        return Record(key, b"", kind, self.frames.next_revision, 0, self._now_us)

    def _added(
        self, index: int, op: Add, key: bytes, current: Locator | None
    ) -> tuple[int, Record]:
        if current is None:
            return op.by, self._put(key, b"%d" % op.by, None, TEXT_CONTENT_TYPE)
        is_short = current.value_size <= NUMBER_BYTES_MAX
        old = self.frames.read(key, current) if is_short else None
        number = added(index, op, old and old.value)
        assert old is not None  # it is a number
        record = self._put(key, b"%d" % number, current, old.content_type)
        return number, record._replace(expires_us=old.expires_us, metadata=old.metadata)

    def _touched(self, index: int, op: Touch, key: bytes, current: Locator | None) -> Record:
        if current is None:
            raise InvalidOperation(index, f"there is no key {op.key!r}")
        return self._copied(key, current, current, op.ttl_s)

    def _restored(self, index: int, op: Restore, key: bytes, current: Locator | None) -> Record:
        """Return a record with the value that the key had at a version or a revision."""
        kept = kept_of(self._view, key, self.frames.versions(key))
        try:
            if op.version is not None:
                source = find_version(kept, op.version)
            elif op.revision is not None and op.revision < self.frames.next_revision:
                source = find_at(self._view, kept, op.revision)
            else:
                raise NotThereError(f"revision {op.revision} does not exist yet")
        except NotThereError as ex:
            raise InvalidOperation(index, f"{op.key!r} cannot be restored: {ex}") from ex
        return self._copied(key, source, current, op.ttl_s)._replace(kind=RESTORE)

    def _require_space(self, written: Sequence[Record]) -> None:
        size = sum(
            len(record.key) + len(record.value)
            for record in written
            if record.kind not in TOMBSTONES
        )
        if size:
            self._free_space.require(self._view, self.frames.size + size)

    def _require_frame(self, written: Sequence[Record]) -> None:
        """Refuse a transaction whose records, copied ones included, do not fit into one frame."""
        size = sum(len(record.key) + len(record.value) + _RECORD_OVERHEAD_MAX for record in written)
        if len(written) > 1 and size > frames.SIZE_MAX:
            raise LimitExceeded("txn_bytes_max", frames.SIZE_MAX, size)

    def _live(self, key: bytes) -> Locator | None:
        """Return the latest version of a key if it is a value that has not expired."""
        locator = self.frames.latest(key)
        if locator is None or locator.kind in TOMBSTONES or self._is_due(locator):
            return None
        return locator

    def _is_due(self, locator: Locator) -> bool:
        return 0 < locator.expires_us <= self._now_us

    def _copied(
        self, key: bytes, source: Locator, current: Locator | None, ttl_s: float | None
    ) -> Record:
        """Return a new version with a value that the key has or had.

        The limit is needed because small requests can name many large values.
        """
        size = self._copied_bytes + source.value_size
        if self._copied_bytes and size > self._limits.txn_bytes_max:
            raise LimitExceeded("txn_bytes_max", self._limits.txn_bytes_max, size)
        self._copied_bytes = size
        old = self.frames.read(key, source)
        record = self._put(key, old.value, current, old.content_type, ttl_s)
        return record._replace(metadata=old.metadata)
