"""Commits: batches of transactions, one after the other in the whole store.

1. queue the transaction. The thread that gets the lock of this process takes all that are queued as
   one batch; the others find their results. So the slower the database, the larger the batch;
2. BEGIN, lock the row of ``meta``, read the newest versions of the keys: one round trip. Each of
   these statements has a snapshot of its own, so what is read is the state after the lock was
   taken;
3. decide the transactions (``deciding``);
4. end the rows that are replaced, insert rows and commits, change ``meta``, COMMIT: one more.

Until COMMIT is sent, a failure leaves nothing behind, and the batch is tried again if the
connection broke or another transaction won. After that, it may have been applied.
"""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

import psycopg

from rundlet_server.storage.counting.measures import Measures
from rundlet_server.storage.errors import Conflict, InvalidRequest, OutcomeUnknown
from rundlet_server.storage.interface import Add, Limits, Op, Put, Restore, Txn
from rundlet_server.storage.outcomes.results import Commit
from rundlet_server.storage.postgres.clock import StoreClock
from rundlet_server.storage.postgres.connections import Arguments, Connections, Rows
from rundlet_server.storage.postgres.deciding import Batch, Head, Write
from rundlet_server.storage.postgres.failures import (
    Unreplicated,
    after_commit,
    is_retried,
    raise_for,
)
from rundlet_server.storage.postgres.remembering import FIND, REMEMBER, Outcomes, keys_of
from rundlet_server.storage.requests import NUMBER_BYTES_MAX, restores

_GROUP_MAX: Final = 256
"""Transactions in one batch, at most ..."""
_GROUP_BYTES_MAX: Final = 16 * 1024 * 1024
"""... and bytes of their values."""

_BEGIN: Final = "BEGIN ISOLATION LEVEL READ COMMITTED"
_LOCK: Final = "SELECT rev, oldest_rev, time_us FROM {meta} WHERE id = 1 FOR UPDATE"
_NEWEST: Final = f"""
SELECT k, rev, seq, kind, version, life, time_us, type, expires_us, size, metadata,
    CASE WHEN k = ANY(%b::bytea[]) AND size <= {NUMBER_BYTES_MAX} THEN v END
FROM {{kv}} WHERE end_rev IS NULL AND k = ANY(%b::bytea[])
"""
_END: Final = """
UPDATE {kv} SET end_rev = u.end_rev FROM unnest(%b::bytea[], %b::bigint[], %b::bigint[])
    AS u(k, rev, end_rev) WHERE kv.k = u.k AND kv.rev = u.rev
"""
COLUMNS: Final = (
    "k, rev, seq, end_rev, life, kind, version, time_us, type, expires_us, size, metadata, v"
)
_COLUMN_TYPES: Final = (
    *("bytea", "int8", "int4", "int8", "int8", "text", "int8", "int8", "text", "int8", "int8"),
    *("bytea", "bytea"),
)
_ARRAYS: Final = ", ".join(f"%b::{each}[]" for each in _COLUMN_TYPES)
_INSERT: Final = f"INSERT INTO {{kv}} ({COLUMNS}) SELECT * FROM unnest({_ARRAYS})"
_COPY_VALUE: Final = """
UPDATE {kv} SET v = s.v FROM unnest(%b::bytea[], %b::bigint[], %b::bigint[]) AS u(k, rev, source)
    JOIN {kv} s ON s.k = u.k AND s.rev = u.source WHERE kv.k = u.k AND kv.rev = u.rev
"""
_COMMITS: Final = (
    "INSERT INTO {commits} (rev, time_us) SELECT u.rev, %s FROM unnest(%b::bigint[]) AS u(rev)"
)
_META: Final = """
UPDATE {meta} SET rev = %s, time_us = %s, key_count = key_count + %s,
    value_bytes = value_bytes + %s WHERE id = 1
"""
_AT_VERSION: Final = """
SELECT k, rev, seq, kind, version, life, time_us, type, expires_us, size, metadata FROM {kv}
    WHERE k = %(k)s AND version = %(version)s AND version > 0 AND life = (SELECT life FROM {kv}
        WHERE k = %(k)s AND version > 0 ORDER BY rev DESC LIMIT 1)
"""
_AT_REVISION: Final = """
SELECT k, rev, seq, kind, version, life, time_us, type, expires_us, size, metadata FROM {kv}
    WHERE k = %(k)s AND rev <= %(rev)s AND (end_rev IS NULL OR end_rev > %(rev)s)
    AND (expires_us IS NULL OR expires_us > COALESCE(%(now_us)s::bigint,
        (SELECT time_us FROM {commits} WHERE rev <= %(rev)s ORDER BY rev DESC LIMIT 1)))
"""

_Answer = TypeVar("_Answer")
Statement = tuple[str, Arguments]
Decide = Callable[[psycopg.Connection, Head, Sequence[Rows]], tuple[_Answer, Sequence[Statement]]]
"""Gets the head of the locked store and the rows of the lookups; returns an answer and the
statements that write."""


@dataclass(slots=True)
class _Request:
    """A queued transaction, and its outcome."""

    txn: Txn
    outcome: Commit | Exception | None = None


class Writer:
    """Commits, for one process. Any thread may use it.

    Attributes:
        on_commit: called with the head revision after a commit of this process.
    """

    def __init__(
        self, connections: Connections, clock: StoreClock, limits: Limits, measures: Measures
    ) -> None:
        self._connections = connections
        self._clock = clock
        self._limits = limits
        self._measures = measures
        self._queue: deque[_Request] = deque()
        self._lock = threading.Lock()
        self.on_commit: Callable[[int], None] = lambda _: None

    def commit(self, txn: Txn) -> Commit:
        """Commit a transaction that was checked.

        Raises:
            Conflict, InvalidOperation, LimitExceeded: see ``Batch.add``.
            Unavailable, DiskFull: certainly not applied.
            OutcomeUnknown: it may have been applied.
        """
        request = _Request(txn)
        self._queue.append(request)
        with self._lock:
            while request.outcome is None:
                self._commit_group(self._group(), insert=_insert)
        if isinstance(request.outcome, Exception):
            raise request.outcome
        return request.outcome

    def load(self, transactions: Sequence[Txn]) -> None:
        """Commit transactions of puts together; their rows are copied in bulk."""
        requests = [_Request(txn) for txn in transactions]
        with self._lock:
            self._commit_group(requests, insert=_copy_in)
        for request in requests:
            if isinstance(request.outcome, Exception):
                raise request.outcome

    def expire(self, keys: Sequence[bytes]) -> None:
        """Log the expiry of those keys whose values have expired, as one commit."""

        def decide(
            link: psycopg.Connection, head: Head, found: Sequence[Rows]
        ) -> tuple[int, Sequence[Statement]]:
            batch = Batch(head, _newest(found[0]), self._limits, _no_past)
            batch.expire(keys)
            statements = [*_insert(link, self._connections.sql, batch), *self._counted(batch, head)]
            return batch.revision, statements if batch.rows else []

        self.on_commit(self.changing([(_NEWEST, ([], list(keys)))], decide))

    def changing(self, lookups: Sequence[Statement], decide: Decide[_Answer]) -> _Answer:
        """Run lookups, and the changes decided from them, with the store locked; return the answer.

        All of it is done again if it fails before COMMIT was sent and another attempt may help.

        Raises:
            Unavailable, DiskFull, OutcomeUnknown: as ``commit``.
        """
        return self._connections.retrying(lambda link: self._change(link, lookups, decide))

    def counted(
        self, commits: Sequence[int], head: Head, key_count: int, value_bytes: int
    ) -> Sequence[Statement]:
        """Return the statements that record commits, and change the totals."""
        return [
            (_COMMITS, (head.time_us, list(commits))),
            (_META, (commits[-1], head.time_us, key_count, value_bytes)),
        ]

    def _counted(self, batch: Batch, head: Head) -> Sequence[Statement]:
        return self.counted(batch.commits, head, batch.key_count, batch.value_bytes)

    def _change(
        self, link: psycopg.Connection, lookups: Sequence[Statement], decide: Decide[_Answer]
    ) -> _Answer:
        sql = self._connections.sql
        try:
            with link.pipeline():
                link.execute(_BEGIN)
                locked = link.execute(sql(_LOCK), binary=True)
                cursors = [link.execute(sql(text), given, binary=True) for text, given in lookups]
            revision, oldest, time_us = locked.fetchall()[0]
            head = Head(revision, oldest, self._clock.now_us(time_us))
            answer, statements = decide(link, head, [cursor.fetchall() for cursor in cursors])
        except BaseException:
            _roll_back(link)
            raise
        if statements:
            self._finish(link, statements)
        else:
            _roll_back(link)
        return answer

    def _finish(self, link: psycopg.Connection, statements: Sequence[Statement]) -> None:
        """Write, and commit.

        Raises:
            psycopg.Error: certainly not applied; try again.
            Unavailable, DiskFull, OutcomeUnknown: see ``failures.after_commit``.
        """
        unreplicated = Unreplicated()
        link.add_notice_handler(unreplicated.note)
        try:
            with link.pipeline():
                for text, arguments in statements:
                    link.execute(self._connections.sql(text), arguments)
                done = link.execute("COMMIT")
        except psycopg.Error as ex:
            _roll_back(link)
            if is_retried(ex):
                raise
            raise_for(ex, after_commit(ex))
        finally:
            link.remove_notice_handler(unreplicated.note)
        unreplicated.check()
        if done.statusmessage != "COMMIT":
            raise OutcomeUnknown(f"the database ended a commit with {done.statusmessage}")

    def _group(self) -> list[_Request]:
        """Take requests from the queue; one that restores reads the database, and is alone."""
        group: list[_Request] = []
        size = 0
        while self._queue and len(group) < _GROUP_MAX and size <= _GROUP_BYTES_MAX:
            is_alone = restores(self._queue[0].txn)
            if is_alone and group:
                break
            request = self._queue.popleft()
            group.append(request)
            if is_alone:
                break
            size += sum(len(op.value) for op in _ops(request.txn) if isinstance(op, Put))
        return group

    def _commit_group(self, group: Sequence[_Request], insert: Insert) -> None:
        """Commit transactions together, and note the outcome of each."""
        try:
            outcomes, batch = self.changing(
                [(_NEWEST, _keys_of(group)), *_remembered(group)],
                lambda link, head, found: self._decide(group, insert, link, head, found),
            )
        except BaseException as ex:
            for request in group:
                request.outcome = ex if isinstance(ex, Exception) else OutcomeUnknown("interrupted")
            if not isinstance(ex, Exception):
                raise
            return
        for request, outcome in zip(group, outcomes, strict=True):
            request.outcome = outcome
        if batch.commits:  # the transactions may have had nothing to write
            self._measures.committed(len(batch.commits))
        self.on_commit(batch.revision)

    def _decide(
        self,
        group: Sequence[_Request],
        insert: Insert,
        link: psycopg.Connection,
        head: Head,
        found: Sequence[Rows],
    ) -> tuple[tuple[list[Commit | Exception], Batch], Sequence[Statement]]:
        def find_past(key: bytes, op: Restore) -> Write | None:
            return self._find_past(link, head, key, op)

        known = Outcomes(found[1], head.time_us) if len(found) > 1 else None
        batch = Batch(head, _newest(found[0]), self._limits, find_past, known)
        outcomes: list[Commit | Exception] = []
        for request in group:
            try:
                outcomes.append(batch.add(request.txn))
            except (Conflict, InvalidRequest) as ex:
                outcomes.append(ex)
        answer = outcomes, batch
        if not batch.rows:
            return answer, []
        made = batch.outcomes.made()
        return answer, [
            *insert(link, self._connections.sql, batch),
            *([(REMEMBER, made)] if made else []),
            *self._counted(batch, head),
        ]

    def _find_past(
        self, link: psycopg.Connection, head: Head, key: bytes, op: Restore
    ) -> Write | None:
        """Return the row that an operation restores."""
        if op.version is not None:
            text, arguments = _AT_VERSION, {"k": key, "version": op.version}
        else:
            # What has expired just now may be logged in this batch, one revision above the head.
            revision = op.revision or 0
            if revision < head.oldest_revision or self._connections.lives.is_lost(revision):
                return None
            now_us = head.time_us if revision > head.revision else None
            text, arguments = _AT_REVISION, {"k": key, "rev": revision, "now_us": now_us}
        row = link.execute(self._connections.sql(text), arguments, binary=True).fetchone()
        return None if row is None else Write(*row)


Insert = Callable[[psycopg.Connection, Callable[[str], bytes], Batch], Sequence[Statement]]
"""Inserts the rows of a batch, or returns a statement that does."""


def _insert(
    _link: psycopg.Connection, _sql: Callable[[str], bytes], batch: Batch
) -> Sequence[Statement]:
    copied = [(row.key, row.revision, row.source) for row in batch.rows if row.source is not None]
    return [
        *_ends(batch),
        (_INSERT, _columns(_tuples(batch))),
        *([(_COPY_VALUE, _columns(copied))] if copied else []),
    ]


def _copy_in(
    link: psycopg.Connection, sql: Callable[[str], bytes], batch: Batch
) -> Sequence[Statement]:
    for ends, arguments in _ends(batch):
        link.execute(sql(ends), arguments)
    text = f"COPY {{kv}} ({COLUMNS}) FROM STDIN (FORMAT BINARY)"
    with link.cursor() as cursor, cursor.copy(sql(text)) as copy:
        copy.set_types(_COLUMN_TYPES)
        for row in _tuples(batch):
            copy.write_row(row)
    return []


def _tuples(batch: Batch) -> list[tuple[object, ...]]:
    """Return the rows of a batch in the order of ``COLUMNS``."""
    return [
        (
            row.key,
            row.revision,
            row.sequence,
            batch.ended.get((row.key, row.revision)),
            row.life,
            row.kind,
            row.version,
            row.time_us,
            row.content_type,
            row.expires_us,
            row.size,
            row.metadata,
            row.value,
        )
        for row in batch.rows
    ]


def _ends(batch: Batch) -> Sequence[Statement]:
    """Return the statement that ends the rows that the batch replaces; it comes before inserts."""
    own = {(row.key, row.revision) for row in batch.rows}
    ended = [(*place, end) for place, end in batch.ended.items() if place not in own]
    return [(_END, _columns(ended))] if ended else []


def _columns(rows: Sequence[tuple[object, ...]]) -> list[list[object]]:
    return [list(column) for column in zip(*rows, strict=True)]


def _keys_of(group: Sequence[_Request]) -> Arguments:
    """Return the keys whose value is needed, and all keys that transactions name."""
    ops = [op for request in group for op in _ops(request.txn)]
    keys = {op.key.encode() for op in ops}
    keys |= {each.key.encode() for request in group for each in request.txn.conditions}
    return [op.key.encode() for op in ops if isinstance(op, Add)], list(keys)


def _remembered(group: Sequence[_Request]) -> Sequence[Statement]:
    """Return the statement that finds outcomes, if a transaction has an idempotency key."""
    keys = keys_of(request.txn for request in group)
    return [(FIND, (keys,))] if keys else []


def _ops(txn: Txn) -> Sequence[Op]:
    return (*txn.then, *(txn.otherwise or ()))


def _newest(rows: Rows) -> dict[bytes, Write]:
    return {row[0]: Write(*row) for row in rows}


def _no_past(_key: bytes, _op: Restore) -> None:
    return None


def _roll_back(link: psycopg.Connection) -> None:
    """End a transaction without a trace; a broken connection has ended it."""
    with contextlib.suppress(psycopg.Error):
        link.rollback()
