"""``ModelStore``: the ``Store`` protocol over plain lists, simple enough to be obviously right.

It keeps every version of every key and answers each question by looking at all of them.
Property tests compare the engine with it, and the HTTP tests run over it.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from rundlet_server.storage.errors import (
    Compacted,
    Conflict,
    FailedCondition,
    InvalidKey,
    InvalidOperation,
    InvalidRequest,
    LimitExceeded,
    NotSupported,
    ReadOnly,
)
from rundlet_server.storage.interface import (
    DEFAULT_CONTENT_TYPE,
    TEXT_CONTENT_TYPE,
    Add,
    Condition,
    Delete,
    Entry,
    Feature,
    KeyInfo,
    Limits,
    Op,
    Page,
    Put,
    Restore,
    Row,
    Snapshot,
    Stats,
    StoreInfo,
    Touch,
    Txn,
)
from rundlet_server.storage.large_values import Admit, LargeValue
from rundlet_server.storage.metadata import Metadata
from rundlet_server.storage.outcomes.idempotency import Idempotency
from rundlet_server.storage.outcomes.results import Commit, OpResult
from rundlet_server.storage.reports import Gauge, Health
from rundlet_server.storage.timeline import (
    At,
    Changes,
    Erased,
    Event,
    EventKind,
    History,
    Moment,
    Retention,
    Version,
)
from tests.support.models.model_backups import ModelBackups
from tests.support.models.model_outcomes import ModelOutcomes

METADATA_NAME = re.compile(r"[a-z0-9-]{1,40}")
NUMBER = re.compile(rb"[+-]?[0-9]+")
NUMBER_BYTES_MAX = 1_000
TTL_S_MAX = 100 * 366 * 86_400
EXPIRES_US_MAX = 253_402_300_799_999_999
FEATURES = frozenset[Feature]({"history", "retention", "changes", "erase", "compaction"})
START_US = 1_700_000_000_000_000


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self, now_us: int = START_US) -> None:
        self.now_us = now_us

    def __call__(self) -> int:
        return self.now_us

    def advance(self, seconds: float) -> None:
        """Move on (or, negative, back)."""
        self.now_us += round(seconds * 1_000_000)


class Record(NamedTuple):
    """One event of one key; a value only where ``kind`` is ``put`` or ``restore``."""

    revision: int
    version: int
    kind: EventKind
    time_us: int
    value: bytes = b""
    content_type: str = DEFAULT_CONTENT_TYPE
    expires_us: int | None = None
    metadata: Metadata = ()

    @property
    def has_value(self) -> bool:
        return self.kind in ("put", "restore")


class ModelStore:
    """An in-memory store that remembers everything.

    Attributes:
        trouble: the reason in what ``health`` answers; tests set it.
        compactions: how often ``compact`` was asked for.
        all_commits: revision and time of each, ever.
    """

    def __init__(
        self,
        clock: Callable[[], int] | None = None,
        limits: Limits | None = None,
        *,
        read_only: bool = False,
        store_id: str = "model",
        features: frozenset[Feature] = FEATURES,
    ) -> None:
        self.info = StoreInfo("log", store_id, read_only, limits or Limits(), features=features)
        self.trouble: str | None = None
        self.compactions = 0
        self._clock = clock or Clock()
        self._time_us = 0
        self._revision = 0
        self._oldest_revision = 0
        self._records: dict[str, list[Record]] = {}
        self._retention = Retention()
        self._events: list[tuple[str, Record]] = []  # of all keys, in order
        self._lock = threading.RLock()
        self._has_committed = threading.Condition(self._lock)
        self._commits: list[tuple[int, int]] = []
        self._backups = ModelBackups()
        self._outcomes = ModelOutcomes()
        self.all_commits: list[tuple[int, int]] = []

    # --- reading ---------------------------------------------------------------------------

    def get(self, key: str, *, at: At | None = None) -> Entry | None:
        with self._lock:
            self._check_key(key)
            return self._visible(key, self._at(at))

    def peek(self, key: str, *, at: At | None = None) -> Entry | LargeValue | None:
        return self.get(key, at=at)  # no value is large

    def get_version(self, key: str, version: int) -> Entry | None:
        with self._lock:
            self._check_key(key)
            found = [r for r in self._newest_life(key) if r.version == version]
            return _entry(key, found[0]) if found else None

    def get_many(
        self, keys: Sequence[str], *, at: At | None = None, admit: Admit | None = None
    ) -> Snapshot:
        with self._lock:
            moment = self._at(at)
            entries = [self.get(key, at=moment) for key in keys]
            size = sum(len(key.encode()) for key in keys)
            size += sum(map(_shown_size, filter(None, entries)))
            if len(keys) > 1:
                _check_limit("answer_bytes_max", self.info.limits.answer_bytes_max, size)
            if admit is not None:
                admit(size)
            return Snapshot(moment, entries)

    def scan(
        self,
        *,
        prefix: str = "",
        start: str | None = None,
        end: str | None = None,
        after: str | None = None,
        limit: int = 1_000,
        reverse: bool = False,
        delimiter: str | None = None,
        include_values: bool = False,
        include_metadata: bool = False,
        at: At | None = None,
        admit: Admit | None = None,  # noqa: ARG002 - its values are in memory already
    ) -> Page:
        with self._lock:
            moment = self._at(at)
            for bound in (prefix, start, end, after, delimiter):
                _order(bound or "")
            page = Page(moment, [], [], None)
            resume = None
            size = 0
            for entry in self._in_range(prefix, start, end, moment, reverse):
                rolled = _rolled_up(entry.key, prefix, delimiter)
                name = rolled or entry.key
                if after is not None and not _comes_after(name, after, reverse):
                    continue
                if rolled is not None and rolled in page.prefixes:
                    continue
                size += len(name.encode())
                if rolled is None:
                    size += _listed_size(entry, include_values, include_metadata)
                count = len(page.keys) + len(page.prefixes)
                if count == limit or (count and size > self.info.limits.answer_bytes_max):
                    return Page(moment, page.keys, page.prefixes, resume)
                if rolled is not None:
                    page.prefixes.append(rolled)
                else:
                    page.keys.append(_key_info(entry, include_values, include_metadata))
                resume = name
            return page

    def count(
        self,
        *,
        prefix: str = "",
        start: str | None = None,
        end: str | None = None,
        at: At | None = None,
    ) -> int:
        with self._lock:
            return len(self._in_range(prefix, start, end, self._at(at), False))

    def moment(self, time_us: int) -> Moment:
        with self._lock:
            if time_us > self._now_us():
                raise InvalidRequest("this time lies in the future")
            revision = max((r for r, made_us in self._commits if made_us <= time_us), default=0)
            if revision < self._oldest_revision:
                raise self._compacted()
            return Moment(revision, time_us)

    @contextmanager
    def hold(self, revision: int) -> Iterator[None]:
        self._at(revision)
        yield

    def retention(self) -> Retention:
        return self._retention

    def retain(self, retention: Retention) -> None:
        """Remember it; nothing is dropped before ``forget_before`` says so."""
        if self.info.read_only:
            raise ReadOnly("this store takes no writes")
        if not 1 <= retention.keep_versions < 2**53 or not 0 <= retention.keep_for_s <= TTL_S_MAX:
            raise InvalidRequest("no store keeps so little or so much")
        self._retention = retention

    def history(self, key: str, *, limit: int = 1_000, before: int | None = None) -> History:
        with self._lock:
            self._check_key(key)
            versions = [
                Version(
                    record.revision,
                    record.version,
                    record.kind,
                    record.time_us,
                    len(record.value),
                    record.content_type,
                    record.expires_us,
                    record.metadata,
                )
                for record in reversed(self._records.get(key, []))
                if before is None or record.revision < before
            ]
            resume = versions[limit - 1].revision if len(versions) > limit else None
            return History(self._revision, self._oldest_revision, versions[:limit], resume)

    def expired(self, after_us: int, at: Moment) -> list[str]:
        with self._lock:
            shown = {entry.key for entry in self._in_range("", None, None, at, False)}
            before = Moment(at.revision, after_us)
            found = self._in_range("", None, None, before, False)
            return [entry.key for entry in found if entry.key not in shown]

    def changes(
        self,
        since: int,
        *,
        prefix: str = "",
        limit: int = 1_000,
        include_values: bool = False,
        until: int | None = None,
    ) -> Changes:
        with self._lock:
            self._at(since)
            last = self._revision if until is None else max(since, min(until, self._revision))
            commits: dict[int, list[tuple[str, Record]]] = {}
            for key, record in self._events:
                if since < record.revision <= last:
                    commits.setdefault(record.revision, []).append((key, record))
            page: list[Event] = []
            bytes_left = self.info.limits.answer_bytes_max
            for revision, writes in commits.items():
                wanted = [write for write in writes if write[0].startswith(prefix)]
                size = sum(_event_size(*write, include_values) for write in wanted)
                if page and wanted and (len(page) + len(wanted) > limit or size > bytes_left):
                    return Changes(page, since, self._oldest_revision)
                for number, (key, record) in enumerate(wanted, 1):
                    event = _event(key, record, number == len(wanted), include_values)
                    if include_values and _event_size(key, record, True) > bytes_left:
                        event = event._replace(value=None, is_value_omitted=record.has_value)
                    bytes_left -= _event_size(key, record, event.value is not None)
                    page.append(event)
                since = revision
                if len(page) >= limit:
                    return Changes(page, since, self._oldest_revision)
            return Changes(page, last, self._oldest_revision)

    def erase(self, key: str, *, wait_s: float = 0) -> Erased:  # noqa: ARG002 - done at once
        with self._lock:
            if self.info.read_only:
                raise ReadOnly("this store takes no writes")
            self._check_key(key)
            records = self._records.get(key)
            if not records:
                return Erased(self._revision, 0, is_pending=False, is_found=False)
            if records[-1].kind == "erase":
                return Erased(records[-1].revision, 0, is_pending=False)
            self._now_us()
            self._log_expiries([key])
            count = sum(record.has_value for record in records)
            self._events = [event for event in self._events if event[0] != key]
            records.clear()
            self._next_revision()
            self._append(key, Record(self._revision, 0, "erase", self._time_us))
            return Erased(self._revision, count, is_pending=False)

    def wait(self, since: int, timeout_s: float) -> int:
        with self._lock:
            self._has_committed.wait_for(lambda: self._revision > since, timeout_s)
            return self._revision

    def stats(self) -> Stats:
        with self._lock:
            entries = self._in_range("", None, None, self._at(None), False)
            return Stats(
                self._revision,
                self._oldest_revision,
                len(entries),
                sum(len(entry.value) for entry in entries),
            )

    @property
    def backups(self) -> ModelBackups:
        if "backup" not in self.info.features:
            raise NotSupported(self.info.backend, "backup")
        return self._backups

    def gauges(self) -> Mapping[str, Gauge]:
        with self._lock:
            records = sum(len(records) for records in self._records.values())
            return {"records": Gauge(records, "Versions of all keys.")}

    def health(self) -> Health:
        return Health([self.trouble] if self.trouble else [])

    # --- writing ---------------------------------------------------------------------------

    def commit(self, txn: Txn) -> Commit:
        with self._lock:
            if self.info.read_only:
                raise ReadOnly("this store takes no writes")
            for ops in (txn.then, txn.otherwise or ()):
                self._check_ops(ops)
            known = self._outcomes.recall(txn.idempotency, self._now_us())
            if known is not None:
                return known
            failed = tuple(
                FailedCondition(index, condition.key, self._revision_of(condition.key))
                for index, condition in enumerate(txn.conditions)
                if not self._holds(condition)
            )
            if failed and txn.otherwise is None:
                raise Conflict(failed)
            ops = txn.otherwise if failed and txn.otherwise is not None else txn.then
            return self._apply(ops, not failed, txn.idempotency)

    def compact(self, *, wait: bool = False) -> None:  # noqa: ARG002 - there is nothing to do
        if self.info.read_only:
            raise ReadOnly("this store takes no writes")
        self.compactions += 1

    def load(self, rows: Sequence[Row]) -> None:  # noqa: ARG002 - as the interface has it
        raise NotSupported(self.info.backend, "bulk_load")

    def finish_load(self) -> None:
        pass

    def sync(self) -> None:
        pass

    def forget_before(self, revision: int) -> None:
        """Pretend that a compaction took all history before ``revision``."""
        self._oldest_revision = revision

    def forget_commits_without_events(self, above: int) -> None:
        """Pretend that the log has lost the times of commits of which everything was erased."""
        kept = {record.revision for _, record in self._events}
        self._commits = [each for each in self._commits if each[0] <= above or each[0] in kept]

    @contextmanager
    def times_of_outcomes(self) -> Iterator[None]:
        """Pretend that the log still has the times of such commits, because of their outcomes."""
        forgotten, kept = self._commits, self._outcomes.revisions()
        more = [each for each in self.all_commits if each[0] in kept and each not in forgotten]
        self._commits = sorted([*forgotten, *more])
        yield
        self._commits = forgotten

    def close(self) -> None:
        pass

    def _apply(self, ops: Sequence[Op], succeeded: bool, idempotency: Idempotency | None) -> Commit:
        """Work everything out first, so that an operation that fails leaves nothing behind.

        Only what has expired ends before that, at a revision of its own: it is over whatever
        becomes of the operations.
        """
        self._log_expiries([op.key for op in ops])
        changes = []
        copied_bytes = 0
        for index, op in enumerate(ops):
            change = self._change(index, op)
            if isinstance(op, Touch | Restore) and change:
                if copied_bytes:  # a single value has a limit of its own
                    size = copied_bytes + len(change.value)
                    _check_limit("txn_bytes_max", self.info.limits.txn_bytes_max, size)
                copied_bytes += len(change.value)
            changes.append(change)
        written = [(op.key, change) for op, change in zip(ops, changes, strict=True) if change]
        results = tuple(self._result(op, change) for op, change in zip(ops, changes, strict=True))
        if written:
            commit = Commit(succeeded, self._revision + 1, results)
            self._outcomes.remember(idempotency, commit, self._time_us)
            self._next_revision()
        for key, change in written:
            self._append(key, change._replace(revision=self._revision))
        return Commit(succeeded, self._revision, results)

    def _change(self, index: int, op: Op) -> Record | None:
        """What an operation would append; ``None`` where it changes nothing."""
        old = self._visible(op.key, self._at(None))
        version = old.version + 1 if old else 1
        match op:
            case Delete():
                return Record(0, 0, "delete", self._time_us) if old else None
            case Put(_, value, content_type, ttl_s, expires_us, metadata):
                if ttl_s is not None:
                    expires_us = self._expiry(ttl_s)
                about = (content_type, expires_us, metadata)
                return Record(0, version, "put", self._time_us, value, *about)
            case Add(_, by):
                content_type = old.content_type if old else TEXT_CONTENT_TYPE
                value = _sum(index, old.value if old else b"0", by)
                expires_us = old.expires_us if old else None
                about = (content_type, expires_us, old.metadata if old else ())
                return Record(0, version, "put", self._time_us, value, *about)
            case Touch(_, ttl_s):
                if old is None:
                    raise InvalidOperation(index, "there is no such key to touch")
                about = (old.content_type, self._expiry(ttl_s), old.metadata)
                return Record(0, version, "put", self._time_us, old.value, *about)
            case Restore():
                source = self._source(index, op)
                about = (source.content_type, self._expiry(op.ttl_s), source.metadata)
                return Record(0, version, "restore", self._time_us, source.value, *about)

    def _result(self, op: Op, change: Record | None) -> OpResult:
        found = change is not None and (change.kind == "delete" or change.version > 1)
        if change is None:
            return OpResult(found=False, version=0)
        number = int(change.value) if isinstance(op, Add) else None
        return OpResult(found=found, version=change.version, number=number)

    def _log_expiries(self, keys: Sequence[str]) -> None:
        """Let expired values that are about to be written over end at one revision before."""
        latest = [(key, self._records[key][-1]) for key in keys if key in self._records]
        due = [key for key, last in latest if last.has_value and self._has_expired(last)]
        if due:
            self._next_revision()
        for key in due:
            self._append(key, Record(self._revision, 0, "expire", self._time_us))

    def _append(self, key: str, record: Record) -> None:
        self._records.setdefault(key, []).append(record)
        self._events.append((key, record))
        with self._has_committed:
            self._has_committed.notify_all()

    def _next_revision(self) -> None:
        self._revision += 1
        self._commits.append((self._revision, self._time_us))
        self.all_commits.append((self._revision, self._time_us))

    def _source(self, index: int, op: Restore) -> Record | Entry:
        found: Record | Entry | None = None
        if op.version is not None:
            lives = [r for r in self._newest_life(op.key) if r.version == op.version]
            found = lives[0] if lives else None
        elif op.revision is not None and self._oldest_revision <= op.revision <= self._revision:
            found = self._visible(op.key, self._at(op.revision))
        if found is None:
            raise InvalidOperation(index, "this key had no such value")
        return found

    def _newest_life(self, key: str) -> list[Record]:
        """The values of a key since it was last created, deleted now or not."""
        life: list[Record] = []
        for record in self._records.get(key, []):
            if record.version == 1:
                life = []
            if record.has_value:
                life.append(record)
        return life

    def _holds(self, condition: Condition) -> bool:
        self._check_key(condition.key)
        entry = self._visible(condition.key, self._at(None))
        revision = entry.revision if entry else 0
        version = entry.version if entry else 0
        return (
            (condition.exists is None or condition.exists == (entry is not None))
            and (condition.version is None or condition.version == version)
            and (condition.revisions is None or revision in condition.revisions)
            and (condition.not_revisions is None or revision not in condition.not_revisions)
        )

    # --- leaves ----------------------------------------------------------------------------

    def _visible(self, key: str, moment: Moment) -> Entry | None:
        records = [r for r in self._records.get(key, []) if r.revision <= moment.revision]
        if not records or not records[-1].has_value:
            return None
        last = records[-1]
        if last.expires_us is not None and last.expires_us <= moment.time_us:
            return None
        return _entry(key, last)

    def _revision_of(self, key: str) -> int:
        entry = self._visible(key, self._at(None))
        return entry.revision if entry else 0

    def _has_expired(self, record: Record) -> bool:
        return record.expires_us is not None and record.expires_us <= self._now_us()

    def _now_us(self) -> int:
        """The time, which never goes back behind any that was seen before."""
        self._time_us = max(self._time_us, self._clock())
        return self._time_us

    def _expiry(self, ttl_s: float | None) -> int | None:
        return None if ttl_s is None else self._time_us + max(1, round(ttl_s * 1_000_000))

    def _in_range(
        self, prefix: str, start: str | None, end: str | None, moment: Moment, reverse: bool
    ) -> list[Entry]:
        keys = [
            key
            for key in self._records
            if key.startswith(prefix)
            and (start is None or _order(key) >= _order(start))
            and (end is None or _order(key) < _order(end))
        ]
        entries = [self._visible(key, moment) for key in sorted(keys, key=_order)]
        found = [entry for entry in entries if entry is not None]
        return found[::-1] if reverse else found

    def _at(self, at: At | None) -> Moment:
        now_us = self._now_us()
        if at is None:
            return Moment(self._revision, now_us)
        if isinstance(at, int):
            at = Moment(at, max((t for r, t in self._commits if r <= at), default=0))
        if at.revision < self._oldest_revision:
            raise self._compacted()
        if at.revision > self._revision:
            raise InvalidRequest(
                f"revision {at.revision} does not exist yet; the head is {self._revision}"
            )
        return at

    def _compacted(self) -> Compacted:
        oldest = self._oldest_revision
        return Compacted(oldest, max((t for r, t in self._commits if r <= oldest), default=0))

    def _check_key(self, key: str) -> None:
        try:
            size = len(key.encode())
        except UnicodeEncodeError as ex:
            raise InvalidKey("the key is not encodable as UTF-8") from ex
        if size == 0:
            raise InvalidKey("the key is empty")
        if size > self.info.limits.key_bytes_max:
            raise LimitExceeded("key_bytes_max", self.info.limits.key_bytes_max, size)

    def _check_ops(self, ops: Sequence[Op]) -> None:
        limits = self.info.limits
        _check_limit("txn_ops_max", limits.txn_ops_max, len(ops))
        seen: set[str] = set()
        size = 0
        for index, op in enumerate(ops):
            self._check_key(op.key)
            if op.key in seen:
                raise InvalidOperation(index, "the same key is written twice")
            seen.add(op.key)
            value = op.value if isinstance(op, Put) else b""
            _check_limit("value_bytes_max", limits.value_bytes_max, len(value))
            size += len(op.key.encode()) + len(value)
            if isinstance(op, Put):
                size += _check_metadata(index, op.metadata)
            if isinstance(op, Restore) and (op.version is None) == (op.revision is None):
                raise InvalidOperation(index, "a restore takes a version or a revision")
            ttl_s = op.ttl_s if isinstance(op, Put | Touch | Restore) else None
            if ttl_s is not None and not 0 < ttl_s <= TTL_S_MAX:
                raise InvalidOperation(
                    index, f"a time to live is above 0 and at most {TTL_S_MAX} seconds (100 years)"
                )
            expires_us = op.expires_us if isinstance(op, Put) else None
            if expires_us is not None and (
                ttl_s is not None or not 0 < expires_us <= EXPIRES_US_MAX
            ):
                raise InvalidOperation(index, "this is no time of expiry")
        if len(ops) > 1:  # a single value has a limit of its own
            _check_limit("txn_bytes_max", limits.txn_bytes_max, size)


def _entry(key: str, record: Record) -> Entry:
    return Entry(
        key,
        record.value,
        record.revision,
        record.version,
        record.time_us,
        record.content_type,
        record.expires_us,
        record.metadata,
    )


def _shown_size(entry: Entry) -> int:
    return len(entry.value) + _metadata_size(entry.metadata)


def _listed_size(entry: Entry, include_value: bool, include_metadata: bool) -> int:
    size = len(entry.value) if include_value else 0
    return size + (_metadata_size(entry.metadata) if include_value or include_metadata else 0)


def _metadata_size(metadata: Metadata) -> int:
    return len("".join(name + text for name, text in metadata).encode())


def _check_metadata(index: int, metadata: Metadata) -> int:
    """The size of metadata in bytes."""
    _check_limit("metadata_count_max", 16, len(metadata))
    names = [name for name, _ in metadata]
    if names != sorted(set(names)) or not all(METADATA_NAME.fullmatch(name) for name in names):
        raise InvalidOperation(index, "these are no names of metadata")
    if not all(text for _, text in metadata):
        raise InvalidOperation(index, "a text is empty")
    try:
        size = _metadata_size(metadata)
    except UnicodeEncodeError as ex:
        raise InvalidOperation(index, "metadata is not encodable as UTF-8") from ex
    _check_limit("metadata_bytes_max", 2_048, size)
    return size


def _order(key: str) -> bytes:
    try:
        return key.encode()
    except UnicodeEncodeError as ex:
        raise InvalidKey("this is not encodable as UTF-8") from ex


def _rolled_up(key: str, prefix: str, delimiter: str | None) -> str | None:
    """The key up to and with the first delimiter after the prefix, if it has one."""
    if delimiter is None:
        return None
    found = key.find(delimiter, len(prefix))
    return None if found < 0 else key[: found + len(delimiter)]


def _comes_after(name: str, after: str, reverse: bool) -> bool:
    return _order(name) < _order(after) if reverse else _order(name) > _order(after)


def _key_info(entry: Entry, include_value: bool, include_metadata: bool) -> KeyInfo:
    return KeyInfo(
        entry.key,
        entry.revision,
        entry.version,
        len(entry.value),
        entry.content_type,
        entry if include_value else None,
        entry.time_us,
        entry.expires_us,
        entry.metadata if include_metadata else (),
    )


def _event(key: str, record: Record, is_last: bool, include_value: bool) -> Event:
    return Event(
        record.revision,
        record.time_us,
        record.kind,
        key,
        record.version,
        len(record.value),
        record.content_type,
        record.expires_us,
        is_last,
        record.value if include_value and record.has_value else None,
        metadata=record.metadata,
    )


def _event_size(key: str, record: Record, include_value: bool) -> int:
    size = len(record.value) if include_value else 0
    return len(key.encode()) + _metadata_size(record.metadata) + size


def _sum(index: int, value: bytes, by: int) -> bytes:
    if not NUMBER.fullmatch(value) or len(value) > NUMBER_BYTES_MAX:
        raise InvalidOperation(index, "the value is not decimal text")
    number = int(value) + by
    if not -(2**63) <= number < 2**63:
        raise InvalidOperation(index, "the number would not fit into 64 bits")
    return b"%d" % number


def _check_limit(what: str, limit: int, got: int) -> None:
    if got > limit:
        raise LimitExceeded(what, limit, got)
