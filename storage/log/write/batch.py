"""A batch: transactions decided one after the other against the head, then written as one.

The leader of a group commit (``group_commit``) fills a batch while it holds the store's lock. A
transaction sees the writes of those before it in the batch, although they are not on disk yet; no
reader sees any of them until the whole batch is.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from typing import Final

from rundlet_server.storage.errors import Conflict, InvalidOperation, LimitExceeded
from rundlet_server.storage.files import Buffer
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
from rundlet_server.storage.log.format.commit_times import CommitPlace
from rundlet_server.storage.log.format.frame import Totals
from rundlet_server.storage.log.format.locator import Locator, pack_position
from rundlet_server.storage.log.format.manifest import METADATA, OUTCOMES
from rundlet_server.storage.log.format.record import (
    DELETE,
    ERASE,
    EXPIRE,
    OUTCOME,
    PUT,
    RESTORE,
    TOMBSTONES,
    VERSION_MAX,
    Record,
)
from rundlet_server.storage.log.read.past import NotThereError, find_at, find_version, kept_of
from rundlet_server.storage.log.read.view import Head, View
from rundlet_server.storage.log.write.expire import Expire
from rundlet_server.storage.log.write.free_space import FreeSpace
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
_ANY_FRAME_BYTES_MAX: Final = frames.SIZE_MAX // 8
"""A transaction whose limit is at most this fits into a frame, whatever it copies."""


class Batch:
    """Frames that are to be appended at the end of a view's log.

    Attributes:
        buffers: the bytes of all frames.
        entries: key and locator of every record in them, in order.
        commits: the commit of every frame, in order.
        head: the state of the store after them.
        size: bytes of all frames.
        commit_count: transactions among them.
        needs: what a release must know to read the records, see ``Manifest``.
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
            free_space: that values need on the disk; deletions need none.
        """
        self._view = view
        self._salt = salt
        self._synced = synced
        self._limits = limits
        self._free_space = free_space
        self._copied_bytes = 0
        self._segment = view.active.segment
        self._start = view.active.offset
        self._revision_before = view.head.revision
        self._revision = max(view.head.revision, view.manifest.revision_floor)
        self._records: list[Record] = []  # one for each of the entries
        self._newest: dict[bytes, Locator | None] = {}
        self.buffers: list[Buffer] = []
        self.entries: list[tuple[bytes, Locator]] = []
        self.commits: list[CommitPlace] = []
        self.size = 0
        self.commit_count = 0
        self.needs: set[str] = set()
        self.head = Head(view.head.revision, now_us, view.head.totals)

    def add(self, txn: Txn) -> Commit:
        """Decide a transaction and add its writes.

        Raises:
            Conflict: conditions failed and there is no ``otherwise``.
            IdempotencyKeyReused: another request was done with its key.
            InvalidOperation, LimitExceeded: an operation cannot be done; what has expired is
                logged all the same.
            DiskFull: it writes values, and the rest of the disk is kept for deletions; as above.
        """
        if txn.idempotency is not None:
            done = self._done_before(txn.idempotency)
            if done is not None:
                return done
        failed = failed_conditions(txn.conditions, self._state) if txn.conditions else ()
        if failed and txn.otherwise is None:
            raise Conflict(failed)
        ops = txn.then if not failed else txn.otherwise or ()
        keys = [op.key.encode() for op in ops]
        self._expire_first(keys)
        self._copied_bytes = 0
        written: list[Record] = []
        results = [self._do(index, op, keys[index], written) for index, op in enumerate(ops)]
        if written:
            if txn.idempotency is not None:
                commit = Commit(not failed, self._next_revision(), tuple(results))
                written.append(outcome_record(txn.idempotency, commit, self.head.time_us))
            if self._limits.txn_bytes_max > _ANY_FRAME_BYTES_MAX:
                self._require_frame(written)
            if not self._free_space.is_plenty:
                self._require_space(written)
            self._append(written)
            self.commit_count += 1
        return Commit(not failed, self.head.revision, tuple(results))

    def _done_before(self, idempotency: Idempotency) -> Commit | None:
        """Return the outcome that is remembered for a key."""
        key = outcome_key(idempotency)
        locator = self._latest(key)
        if locator is None or is_forgotten(locator, self.head.time_us):
            return None
        return replayed(self._read(key, locator).value, idempotency, locator.revision)

    def expire(self, expired: Sequence[Expire]) -> int:
        """Log expiries, except of keys that were written again meanwhile; return how many."""
        written = []
        for text, revision in expired:
            key = text.encode()
            locator = self._latest(key)
            if locator is not None and locator.revision == revision and self._is_due(locator):
                written.append(self._tombstone(key, EXPIRE))
        if written:
            self._append(written)
        return len(written)

    def erase(self, key: bytes) -> int:
        """Log that a key is erased; return how many of its values can no longer be read."""
        self._expire_first([key])
        kept = kept_of(self._view, key, self._versions(key))
        count = sum(not locator.is_tombstone for locator in kept)
        self._append([self._tombstone(key, ERASE)])
        return count

    def _state(self, key: bytes) -> tuple[int, int]:
        locator = self._live(key)
        return (locator.revision, locator.version) if locator else (0, 0)

    def _expire_first(self, keys: Sequence[bytes]) -> None:
        """Log the expiry of values that will be overwritten as events of their own, before that."""
        due = []
        for key in keys:
            locator = self._latest(key)
            if locator is not None and self._is_due(locator) and not locator.is_tombstone:
                due.append(self._tombstone(key, EXPIRE))
        if due:
            self._append(due)

    def _do(self, index: int, op: Op, key: bytes, written: list[Record]) -> OpResult:
        """Do one operation; what it writes is added to ``written``."""
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
        now_us = self.head.time_us
        expires_us = 0 if ttl_s is None else now_us + max(1, round(ttl_s * 1_000_000))
        revision = self._next_revision()
        return Record(key, value, PUT, revision, version, now_us, content_type, expires_us)

    def _tombstone(self, key: bytes, kind: int) -> Record:
        return Record(key, b"", kind, self._next_revision(), 0, self.head.time_us)

    def _next_revision(self) -> int:
        return self._revision + 1

    def _added(
        self, index: int, op: Add, key: bytes, current: Locator | None
    ) -> tuple[int, Record]:
        if current is None:
            return op.by, self._put(key, b"%d" % op.by, None, TEXT_CONTENT_TYPE)
        is_short = current.value_size <= NUMBER_BYTES_MAX
        old = self._read(key, current) if is_short else None
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
        kept = kept_of(self._view, key, self._versions(key))
        try:
            if op.version is not None:
                source = find_version(kept, op.version)
            elif op.revision is not None and op.revision <= self._revision:
                source = find_at(self._view, kept, op.revision)
            else:
                raise NotThereError(f"revision {op.revision} does not exist yet")
        except NotThereError as ex:
            raise InvalidOperation(index, f"{op.key!r} cannot be restored: {ex}") from ex
        return self._copied(key, source, current, op.ttl_s)._replace(kind=RESTORE)

    def _versions(self, key: bytes) -> Iterator[Locator]:
        pending = self._newest.get(key)
        while pending is not None and self._is_pending(pending):
            yield pending
            pending = pending.previous
        yield from self._view.versions(key)

    def _require_space(self, written: Sequence[Record]) -> None:
        size = sum(
            len(record.key) + len(record.value)
            for record in written
            if record.kind not in TOMBSTONES
        )
        if size:
            self._free_space.require(self._view, self.size + size)

    def _require_frame(self, written: Sequence[Record]) -> None:
        """Refuse what does not fit into one frame: what is put and what is copied add up."""
        size = sum(len(record.key) + len(record.value) + _RECORD_OVERHEAD_MAX for record in written)
        if len(written) > 1 and size > frames.SIZE_MAX:
            raise LimitExceeded("txn_bytes_max", frames.SIZE_MAX, size)

    def _append(self, written: Sequence[Record]) -> None:
        """Add one frame with these records."""
        offset = self._start + self.size
        position = pack_position(self._segment, offset + frames.HEADER.size)
        time_us = self.head.time_us
        key_count, value_bytes = self.head.totals
        encoded: list[list[Buffer]] = []
        for record in written:
            key, value, kind, revision, version, _, content_type, expires_us, metadata = record
            value_size = len(value)
            previous = self._latest(key)
            if previous is not None:
                if previous.kind not in TOMBSTONES:
                    key_count -= 1
                    value_bytes -= previous.value_size
                if not self._is_pending(previous):
                    previous = None
            if kind not in TOMBSTONES:
                key_count += 1
                value_bytes += value_size
            if metadata or kind == OUTCOME:
                self.needs.add(METADATA if metadata else OUTCOMES)
            pieces = records.encode(record)
            encoded.append(pieces)
            size = sum(map(len, pieces))
            locator = self._newest[key] = Locator(
                revision,
                position,
                size,
                value_size,
                version,
                kind,
                content_type,
                expires_us,
                previous,
            )
            self.entries.append((key, locator))
            position += size
        self._records += written
        self._revision += 1
        totals = Totals(key_count, value_bytes)
        self.head = Head(self._revision, time_us, totals)
        buffers, size = frames.encode(
            encoded,
            record_count=len(written),
            revision=self._revision,
            time_us=time_us,
            totals=totals,
            synced=self._synced,
            salt=self._salt,
            offset=offset,
        )
        self.commits.append(CommitPlace(self._revision, time_us, offset))
        self.buffers += buffers
        self.size += size

    def _latest(self, key: bytes) -> Locator | None:
        try:
            return self._newest[key]
        except KeyError:
            found = self._newest[key] = self._view.find(key)
            return found

    def _live(self, key: bytes) -> Locator | None:
        """Return the latest version of a key if it is a value that has not expired."""
        locator = self._latest(key)
        if locator is None or locator.kind in TOMBSTONES or self._is_due(locator):
            return None
        return locator

    def _is_due(self, locator: Locator) -> bool:
        return 0 < locator.expires_us <= self.head.time_us

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
        old = self._read(key, source)
        record = self._put(key, old.value, current, old.content_type, ttl_s)
        return record._replace(metadata=old.metadata)

    def _read(self, key: bytes, locator: Locator) -> Record:
        if not self._is_pending(locator):
            return self._view.read(key, locator)
        return self._records[
            bisect_left(self.entries, locator.position, key=lambda entry: entry[1].position)
        ]

    def _is_pending(self, locator: Locator) -> bool:
        """Return whether a version belongs to this batch and is not in the view yet."""
        return locator.revision > self._revision_before
